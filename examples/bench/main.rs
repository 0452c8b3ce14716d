//! One measurement of one workload in a process of its own, as a line of JSON. `docs/benchmarks.md` says what is
//! timed.
//!
//! Run it with `cargo xtask bench`, or `cargo run --release --example bench -- WORKLOAD [N] [FOLDER]`.

mod busy;
mod calls;
mod durable;
mod echo;
mod growth;
mod kill;
mod lines;
mod memory;
mod processes;
mod words;

use lithops::{Error, ErrorKind};
use serde_json::Value;

fn main() -> lithops::Result<()> {
    // The pipes are measured without lithops: not even its start.
    if let Some(part) = echo::part() {
        return Ok(echo::play(&part)?);
    }
    lithops::init();
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().unwrap_or_default();
    let count = match arguments.next() {
        None => None,
        Some(count) => Some(count.parse().map_err(|_| usage(&format!("`{count}` is not a number")))?),
    };
    let folder = arguments.next();
    let line = tokio::runtime::Runtime::new()?.block_on(measure(&workload, count, folder.as_deref()))?;
    #[expect(clippy::print_stdout, reason = "the measurement is what it is for")]
    {
        println!("{line}");
    }
    Ok(())
}

async fn measure(workload: &str, count: Option<u64>, folder: Option<&str>) -> lithops::Result<Value> {
    match workload {
        "start" => calls::start().await,
        "noop" => calls::noop_rate(count.unwrap_or(1_000_000)).await,
        "memory" => memory::memory(count.unwrap_or(1_000_000)).await,
        "latency" => calls::latency(count.unwrap_or(2_000)).await,
        "bytes" => calls::bytes(count.unwrap_or(200)).await,
        "faas" => {
            let chunksize =
                folder.unwrap_or("1").parse().map_err(|_| usage("the size of a chunk is no number"))?;
            calls::faas(count.unwrap_or(200), chunksize).await
        }
        "cpu" => busy::cpu(count.unwrap_or(64)).await,
        "skew" => busy::skew(count.unwrap_or(2_000)).await,
        "wordcount" => words::count(folder.ok_or_else(|| usage("`wordcount` needs a folder"))?).await,
        "partitioner" => {
            lines::partitioner(folder.ok_or_else(|| usage("`partitioner` needs a folder"))?).await
        }
        "storage" => durable::storage(count.unwrap_or(64)).await,
        "growth" => growth::calls(count.unwrap_or(1_000_000)).await,
        "sub_workers" => growth::sub_workers(count.unwrap_or(64)).await,
        "jobs_at_once" => growth::jobs_at_once(count.unwrap_or(1_000)).await,
        "jobs_in_turn" => growth::jobs_in_turn(count.unwrap_or(1_000)).await,
        "kill" => kill::kill(count.unwrap_or(15)).await,
        "echo" => Ok(echo::echo()?),
        _ => Err(usage(&format!("there is no workload `{workload}`"))),
    }
}

fn usage(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, problem).with_hint(
        "write `start`, `noop`, `memory`, `latency`, `bytes`, `cpu`, `skew`, `wordcount`, `partitioner`, `storage`, `growth`, \
         `sub_workers`, `jobs_at_once`, `jobs_in_turn`, `kill`, `faas` or `echo`",
    )
}
