//! The fake as a program: prints its endpoint, and serves until its standard input is closed.

use std::{
    io::{Error, Write as _},
    process::ExitCode,
};

use lithops_fake_lambda::{FakeLambda, Settings};
use tokio::io::AsyncReadExt as _;

const USAGE: &str = "usage: fake-lambda [--port N] [--concurrency N]";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let fake = FakeLambda::start(settings(std::env::args().skip(1))?).await?;
    writeln!(std::io::stdout(), "{}", fake.endpoint())?;
    let (mut input, mut buffer) = (tokio::io::stdin(), [0; 1024]);
    while input.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn settings(mut arguments: impl Iterator<Item = String>) -> Result<Settings, Error> {
    let mut settings = Settings::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        match (name.as_str(), value.as_deref()) {
            ("--port", Some(value)) => settings.port = parse(value)?,
            ("--concurrency", Some(value)) => settings.concurrency = parse(value)?,
            _ => return Err(Error::other(USAGE)),
        }
    }
    Ok(settings)
}

fn parse<T: std::str::FromStr>(value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| Error::other(format!("`{value}` is not such a number; {USAGE}")))
}
