//! `lithops test`: small jobs of every kind on the configured backend and storage.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use lithops::{Error, ErrorKind, blocking::FunctionExecutor, prelude::*};
use serde::Serialize;

use crate::print;

/// Runs small jobs of every kind on the configured backend and storage, and checks what they give.
///
/// Prints a line for each kind, and exits with 1 if one has failed. A platform bills the few calls that run.
#[derive(Debug, Args)]
pub(crate) struct RunTests {
    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The backend, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,

    /// The storage, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    storage: Option<String>,

    /// Runs the tests alone whose names contain this.
    #[arg(short, long, value_name = "TEXT")]
    filter: Option<String>,

    /// Goes on after a test that has failed.
    #[arg(short, long)]
    keep_going: bool,

    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The outcome of a test in the JSON output.
#[derive(Debug, Serialize)]
struct Tested {
    test: &'static str,
    ok: bool,
    error: Option<String>,
}

type Test = fn(&FunctionExecutor) -> lithops::Result<()>;

const TESTS: [(&str, Test); 6] = [
    ("call_async", call_async),
    ("map", map),
    ("map_reduce", map_reduce),
    ("shared", shared),
    ("failed_call", failed_call),
    ("storage", storage),
];

impl RunTests {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let mut builder = FunctionExecutor::builder();
        if let Some(config) = self.config {
            builder = builder.config_file(config);
        }
        if let Some(backend) = self.backend {
            builder = builder.backend(backend);
        }
        if let Some(storage) = self.storage {
            builder = builder.storage(storage);
        }
        let wanted = |name: &str| self.filter.as_ref().is_none_or(|text| name.contains(text));
        let tests: Vec<_> = TESTS.into_iter().filter(|(name, _)| wanted(name)).collect();
        if tests.is_empty() {
            let names = TESTS.map(|(name, _)| name).join(", ");
            let filter = self.filter.unwrap_or_default();
            return Err(Error::new(ErrorKind::NotFound, format!("no test has `{filter}` in its name"))
                .with_hint(format!("there are {names}")));
        }
        let fexec = builder.build()?;
        let mut tested = Vec::new();
        for (name, test) in tests {
            let error = test(&fexec).err();
            if !self.json {
                match &error {
                    None => print::line(format_args!("ok      {name}"))?,
                    Some(error) => print::line(format_args!("FAILED  {name}: {error}"))?,
                }
            }
            let ok = error.is_none();
            tested.push(Tested { test: name, ok, error: error.map(|error| error.to_string()) });
            if !ok && !self.keep_going {
                break;
            }
        }
        fexec.close()?;
        if self.json {
            print::json(&tested)?;
        }
        Ok(if tested.iter().all(|test| test.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[lithops::function]
fn square(x: i64) -> i64 {
    x * x
}

#[lithops::function]
fn sum(values: Vec<i64>) -> i64 {
    values.iter().sum()
}

#[lithops::function]
fn look_up(table: Shared<Vec<i64>>, index: usize) -> i64 {
    table[index]
}

#[lithops::function]
fn refuse(x: i64) -> Result<i64, String> {
    Err(format!("{x} is refused"))
}

fn call_async(fexec: &FunctionExecutor) -> lithops::Result<()> {
    expect(&fexec.call_async(square, 7).run()?.result()?, &49)
}

fn map(fexec: &FunctionExecutor) -> lithops::Result<()> {
    expect(&fexec.map(square, 0..10).run()?.get_result()?, &(0..10).map(|x| x * x).collect())
}

fn map_reduce(fexec: &FunctionExecutor) -> lithops::Result<()> {
    expect(&fexec.map_reduce(square, 0..10, sum).run()?.result()?, &285)
}

fn shared(fexec: &FunctionExecutor) -> lithops::Result<()> {
    let futures = fexec.map(look_up, 0..3_usize).shared(vec![2, 3, 5]).run()?;
    expect(&futures.get_result()?, &vec![2, 3, 5])
}

fn failed_call(fexec: &FunctionExecutor) -> lithops::Result<()> {
    let outcome = fexec.call_async(refuse, 7).run()?.outcome()?;
    let said = outcome.err().map(|error| error.message().to_owned());
    expect(&said.as_deref(), &Some("7 is refused"))
}

fn storage(fexec: &FunctionExecutor) -> lithops::Result<()> {
    let client = fexec.storage();
    let found = lithops_core::runtime::block_on(async move {
        let object = client.put_cloudobject(b"an object".to_vec()).await?;
        let found = client.get_cloudobject(&object).await?;
        client.delete_cloudobject(&object).await?;
        Ok::<_, Error>(found)
    })?;
    expect(&found.as_ref(), &b"an object".as_slice())
}

fn expect<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> lithops::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unexpected, format!("it gave {found:?}, and {expected:?} was expected")))
}
