//! 200 calls, 4 at once in each worker, 8 calls for each worker at a time: how many workers is that?
//!
//! Run it with `cargo run --release --example granularity`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use lithops::prelude::*;

#[lithops::function]
fn my_map_function(id: CallId, x: i64) -> i64 {
    println!("I'm activation number {id}");
    x + 7
}

#[lithops::main]
async fn main() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().worker_processes(4).show_logs(true).build().await?;
    let futures = fexec.map(my_map_function, 0..200).chunksize(8).await?;
    let plan = futures.plan();
    eprintln!("{plan}");
    plan.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let results: Vec<i64> = futures.get_result().await?;
    println!("{results:?}");
    Ok(())
}
