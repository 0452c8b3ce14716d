//! The front as a program: prints its endpoint, and serves until its standard input is closed.

use std::{
    io::{Error, Write as _},
    process::ExitCode,
};

use lithops_gcs_front::{GcsFront, Key};
use tokio::io::AsyncReadExt as _;

const USAGE: &str = "usage: gcs-front --server ADDRESS:PORT [--key-file FILE]";

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
    let mut arguments = std::env::args().skip(1);
    let (mut server, mut file) = (None, None);
    while let Some(name) = arguments.next() {
        match (name.as_str(), arguments.next()) {
            ("--server", Some(value)) => server = value.parse().ok(),
            ("--key-file", Some(value)) => file = Some(value),
            _ => return Err(Error::other(USAGE)),
        }
    }
    let server = server.ok_or_else(|| Error::other(USAGE))?;
    let key = match file {
        Some(file) => {
            let key = Key::generate()?;
            std::fs::write(file, &key.file)?;
            Some(key)
        }
        None => None,
    };
    let front = GcsFront::start(server, key).await?;
    writeln!(std::io::stdout(), "{}", front.endpoint())?;
    let (mut input, mut buffer) = (tokio::io::stdin(), [0; 1024]);
    while input.read(&mut buffer).await? > 0 {}
    Ok(())
}
