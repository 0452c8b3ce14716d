//! A job on the configured backend, which says what it is waiting for.
//!
//! `fleet map CALLS MILLISECONDS` runs a job, `fleet start CALLS MILLISECONDS` prints the job's id first, and
//! `fleet attach JOB CALLS` goes on with it. Each call lasts that long. The configuration says how many workers there are.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what it is for")]

use std::{collections::BTreeSet, thread, time::Duration};

use lithops::{
    ErrorKind, JobEvent,
    blocking::{FunctionExecutor, FuturesList},
};

/// What a call gives: its input, squared, and the machine that it has run on.
type Done = (u64, String);

#[lithops::function]
fn work((x, milliseconds): (u64, u64)) -> std::io::Result<Done> {
    thread::sleep(Duration::from_millis(milliseconds));
    Ok((x * x, std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned()))
}

fn main() -> lithops::Result<()> {
    lithops::init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let fexec = FunctionExecutor::builder().build()?;
    let events = fexec.events();
    thread::spawn(move || {
        for event in events {
            if let JobEvent::Waiting { workers, why, .. } = event {
                eprintln!("{workers} workers wait: {why}");
            }
        }
    });
    match arguments[..] {
        [what @ ("map" | "start"), calls, milliseconds] => {
            let (calls, milliseconds) = (number(calls)?, number(milliseconds)?);
            let futures = fexec.map(work, (0..calls).map(move |x| (x, milliseconds))).run()?;
            if what == "start" {
                println!("{}", futures.job_id());
            }
            check(&futures.into(), calls)
        }
        ["attach", job, calls] => check(&fexec.attach(job.parse()?)?, number(calls)?),
        _ => Err(wrong("no such part")
            .with_hint("write `map CALLS MILLISECONDS`, `start ..` or `attach JOB CALLS`")),
    }
}

fn number(text: &str) -> lithops::Result<u64> {
    text.parse().map_err(|_| wrong("no number").with_hint(format!("write a number instead of `{text}`")))
}

/// Waits for all results, which must be right.
fn check(futures: &FuturesList<Done>, calls: u64) -> lithops::Result<()> {
    let results = futures.get_result()?;
    let is_right =
        results.len() as u64 == calls && (0..calls).zip(&results).all(|(x, (square, _))| x * x == *square);
    if !is_right {
        return Err(wrong("a result is not right"));
    }
    let machines: BTreeSet<_> = results.iter().map(|(_, machine)| machine).collect();
    let progress = futures.progress();
    eprintln!("{}", futures.summary());
    println!(
        "all {calls} results are right, from {} machines; {} workers were lost, {} calls were tried again",
        machines.len(),
        progress.lost_workers,
        progress.retried
    );
    Ok(())
}

fn wrong(what: &str) -> lithops::Error {
    lithops::Error::new(ErrorKind::InvalidInput, what)
}
