//! The fake as a program: writes a key file, prints its endpoint, and serves until its standard input is closed.

use std::{
    io::{Error, Write as _},
    process::ExitCode,
};

use lithops_fake_cloudrun::{FakeCloudRun, Settings};
use tokio::io::AsyncReadExt as _;

const USAGE: &str = "usage: fake-cloudrun --key-file FILE";

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, file] = arguments.as_slice() else { return Err(Error::other(USAGE)) };
    if name != "--key-file" {
        return Err(Error::other(USAGE));
    }
    let fake = FakeCloudRun::start(Settings::default()).await?;
    std::fs::write(file, fake.key_file()?)?;
    writeln!(std::io::stdout(), "{}", fake.endpoint())?;
    let (mut input, mut buffer) = (tokio::io::stdin(), [0; 1024]);
    while input.read(&mut buffer).await? > 0 {}
    Ok(())
}
