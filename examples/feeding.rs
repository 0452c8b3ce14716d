//! What is only done with workers that are fed, on the configured backend.
//!
//! `feeding backup CALLS` is a job whose first call hangs the first time that it is called, so that its backup attempt gives the
//! result. `feeding auto CALLS` leaves the number of sub-workers to the planner, which is to find out while the job runs that its
//! calls wait, and do more of them at once.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::time::Duration;

use lithops::{Auto, StorageClient, blocking::FunctionExecutor};

/// Where it is noted that the first call of a run was called.
const CALLED: &str = "feeding-called";

#[lithops::function]
async fn slow_at_first(x: u64, run: String, storage: StorageClient) -> lithops::Result<u64> {
    let called = format!("{CALLED}/{run}");
    if x == 0 && storage.head_object(storage.bucket(), &called).await.is_err() {
        storage.put_object(storage.bucket(), &called, Vec::new()).await?;
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(x)
}

#[lithops::function]
fn nap(milliseconds: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

fn main() -> lithops::Result<()> {
    lithops::init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let fexec = FunctionExecutor::builder().build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["backup", calls] => backup(&fexec, number(calls)?),
        ["auto", calls] => auto(&fexec, number(calls)?),
        _ => Err(wrong("no such part").with_hint("write `backup CALLS` or `auto CALLS`")),
    }
}

fn backup(fexec: &FunctionExecutor, calls: u64) -> lithops::Result<()> {
    let run = format!("{}-{}", std::process::id(), fexec.map(nap, [0]).run()?.job_id());
    let called = format!("{CALLED}/{run}");
    let inputs = (0..calls).map(move |x| (x, run.clone()));
    let futures = fexec.map(slow_at_first, inputs).speculate(true).run()?;
    let is_right = futures.get_result()?.into_iter().eq(0..calls);
    let storage = fexec.storage();
    tokio::runtime::Runtime::new()?.block_on(storage.delete_object(storage.bucket(), &called))?;
    if !is_right {
        return Err(wrong("a result is not right"));
    }
    println!("all {calls} results are right, {} by backup attempts", futures.progress().speculated);
    Ok(())
}

fn auto(fexec: &FunctionExecutor, calls: u64) -> lithops::Result<()> {
    let futures = fexec.map(nap, vec![20; calls as usize]).worker_processes(Auto).chunksize(Auto).run()?;
    let first = futures.plan().worker_processes();
    if futures.get_result()?.iter().any(|nap| *nap != 20) {
        return Err(wrong("a result is not right"));
    }
    let (plan, most) = (futures.plan(), futures.summary().processes);
    println!("planned again: {}", plan.worker_processes() > first);
    println!(
        "{first} sub-workers in each worker at first, {} at last, {most} in all",
        plan.worker_processes()
    );
    Ok(())
}

fn number(text: &str) -> lithops::Result<u64> {
    text.parse().map_err(|_| wrong("no number").with_hint(format!("write a number instead of `{text}`")))
}

fn wrong(what: &str) -> lithops::Error {
    lithops::Error::new(lithops::ErrorKind::InvalidInput, what)
}
