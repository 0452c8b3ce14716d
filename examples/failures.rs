//! Every way a call can end badly, and what comes back of it, while the calls beside it go on.
//!
//! Run it with `cargo run --release --example failures`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "these calls misbehave on purpose")]

use std::time::Duration;

use lithops::prelude::*;

const WAYS: &[&str] = &["return", "err", "panic", "exit", "abort", "kill", "hang", "print"];

#[lithops::function(timeout = "1s")]
fn misbehave(way: String) -> Result<String, std::num::ParseIntError> {
    match way.as_str() {
        "err" => {
            "no number".parse::<u32>()?;
        }
        "panic" => panic!("this call panics"),
        "exit" => std::process::exit(3),
        "abort" => std::process::abort(),
        "kill" => {
            let own = std::process::id().to_string();
            let killed = std::process::Command::new("sh").args(["-c", &format!("kill -9 {own}")]).status();
            println!("{killed:?}");
            std::thread::sleep(Duration::from_secs(5));
        }
        "hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        "print" => println!("a line of output"),
        _ => {}
    }
    Ok(format!("{way} is fine"))
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await?;
    let ways = WAYS.iter().map(ToString::to_string);
    let futures = fexec.map(misbehave, ways).chunksize(4).await?;
    for (way, outcome) in WAYS.iter().zip(futures.outcomes().await?) {
        match outcome {
            Ok(value) => println!("{way}: {value}"),
            Err(error) => println!("{way}: {error}, tried {} times", error.attempts()),
        }
    }
    print!("it printed: {}", futures[WAYS.len() - 1].logs().await?);
    Ok(())
}
