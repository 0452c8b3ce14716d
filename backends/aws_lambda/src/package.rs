//! What is deployed: the program that plays the worker, and the zip that it is in.

use std::{
    io::{Cursor, Write},
    path::PathBuf,
};

use lithops_core::{
    artifact::{Artifact, Glibc, Machine, Target, beside_this_program},
    error::{Error, ErrorKind, Result},
    protocol::Program,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::config::AwsLambdaConfig;

/// The name of the program that plays the worker, as it is built.
const WORKER: &str = "lithops-worker";
/// What a program has in it that can serve Lambda, whatever its build has left out.
const DOOR: &str = concat!("lithops-worker/", env!("CARGO_PKG_VERSION"), "/lambda");

/// The program that is deployed, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bootstrap {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whether it is the program that has the functions.
    pub(crate) is_program: bool,
}

impl Bootstrap {
    /// What the configuration names; else the `lithops-worker` beside this program or in the path; else the program
    /// itself, which can serve Lambda as well.
    ///
    /// # Errors
    /// When none of them can.
    pub(crate) fn of(config: &AwsLambdaConfig, program: &Program) -> Result<Self> {
        let own = || config.artifact.clone().unwrap_or_else(|| program.path.clone());
        // A test binary would run its tests.
        let serves = program.arguments.is_empty() || config.artifact.is_some();
        if config.include_function {
            return match serves {
                true => Ok(Self { path: own(), is_program: true }),
                false => Err(no_worker("a test binary cannot be deployed as the function itself")),
            };
        }
        let worker = config.worker.clone().or_else(|| {
            let found = beside_this_program(WORKER)?;
            let bytes = std::fs::read(&found).ok()?;
            has_door(&bytes).then_some(found)
        });
        match worker {
            Some(path) => Ok(Self { path, is_program: false }),
            None if serves => Ok(Self { path: own(), is_program: true }),
            None => Err(no_worker("there is no `lithops-worker` that can serve Lambda")),
        }
    }

    /// Its bytes, as they are deployed.
    ///
    /// # Errors
    /// When it cannot run there, and why.
    pub(crate) async fn read(&self, machine: Machine) -> Result<Artifact> {
        let artifact = Artifact::read(&self.path, &target(machine)).await?;
        if has_door(&artifact.bytes) {
            return Ok(artifact);
        }
        let problem = format!("`{}` cannot serve Lambda, or is of another version", self.path.display());
        let hint = match self.is_program {
            true => "build the program with the feature `aws_lambda` of `lithops`",
            false => "build it with `cargo build --release -p lithops-worker --features lambda`",
        };
        Err(Error::new(ErrorKind::InvalidInput, problem).with_hint(hint))
    }
}

/// What instances run on: Amazon Linux 2023.
pub(crate) fn target(machine: Machine) -> Target {
    Target { machine, glibc: Glibc(2, 34), name: "Lambda (provided.al2023)" }
}

/// The zip of a function whose program this is. The same program makes the same zip.
pub(crate) fn zipped(program: &[u8]) -> Result<Vec<u8>> {
    let failed = |error: zip::result::ZipError| {
        Error::new(ErrorKind::Unexpected, format!("cannot make the zip of the function: {error}"))
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(0o755);
    zip.start_file("bootstrap", options).map_err(failed)?;
    zip.write_all(program)?;
    Ok(zip.finish().map_err(failed)?.into_inner())
}

fn has_door(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, DOOR.as_bytes()).is_some()
}

pub(crate) fn no_worker(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, problem).with_hint(
        "build it with `cargo build --release -p lithops-worker --features lambda`, and name it with \
         `aws_lambda: {worker: path}`",
    )
}
