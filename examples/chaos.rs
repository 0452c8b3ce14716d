//! A job whose processes are killed at random, and whose client may be killed as well. `cargo xtask chaos` runs it.
//!
//! `chaos session` runs it in one program; `chaos durable FOLDER` stores it and prints its id; `chaos attach FOLDER ID`
//! goes on with it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lithops::{
    ErrorKind,
    blocking::{FunctionExecutor, FuturesList},
    prelude::*,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

const CALLS: u64 = 20_000;
/// With fewer kills the run shows nothing.
const KILLS: u64 = 200;

fn main() -> lithops::Result<()> {
    lithops::init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["session"] => session(),
        ["durable", folder] => durable(Path::new(folder)),
        ["attach", folder, job] => attach(Path::new(folder), job),
        _ => Err(lithops::Error::new(ErrorKind::InvalidInput, "no such part")
            .with_hint("write `session`, `durable FOLDER` or `attach FOLDER ID`")),
    }
}

/// Busy for 10 ms; notes that it ran where there is a file for that.
#[lithops::function]
fn work(x: u64, notes: Option<PathBuf>) -> Result<u64, std::io::Error> {
    let end = Instant::now() + Duration::from_millis(10);
    let mut value = x;
    while Instant::now() < end {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    std::hint::black_box(value);
    if let Some(notes) = notes {
        // So few bytes are appended whole.
        fs::File::options().append(true).open(notes)?.write_all(format!("{x}\n").as_bytes())?;
    }
    Ok(x * x)
}

fn executor(folder: Option<&Path>) -> lithops::Result<FunctionExecutor> {
    let cpus = thread::available_parallelism()?.get();
    let builder = FunctionExecutor::builder().worker_processes(cpus).max_workers(2);
    match folder {
        Some(folder) => builder.set("storage_root", folder.display().to_string()).build(),
        None => builder.build(),
    }
}

fn session() -> lithops::Result<()> {
    let begun = Instant::now();
    let fexec = executor(None)?;
    let futures = fexec.map(work, (0..CALLS).map(|x| (x, None))).retries(budget()).run()?;
    let killed = under_chaos(|| check(&futures.into()))?;
    let progress = killed.1;
    say(&json!({
        "chaos": "session", "calls": CALLS, "seconds": begun.elapsed().as_secs(), "kills": killed.0,
        "retried": progress.retried, "lost_workers": progress.lost_workers,
    }))?;
    enough(killed.0)
}

fn durable(folder: &Path) -> lithops::Result<()> {
    let fexec = executor(Some(folder))?;
    let notes = folder.join("notes");
    fs::write(&notes, "")?;
    let inputs = (0..CALLS).map(move |x| (x, Some(notes.clone())));
    let futures = fexec.map(work, inputs).chunksize(8).retries(budget()).durable().run()?;
    fs::write(folder.join("job.new"), futures.job_id().to_string())?;
    fs::rename(folder.join("job.new"), folder.join("job"))?;
    under_chaos(|| check(&futures.into())).map(drop)
}

fn attach(folder: &Path, job: &str) -> lithops::Result<()> {
    let begun = Instant::now();
    let before = runs(folder)?;
    let fexec = executor(Some(folder))?;
    let futures: FuturesList<u64> = fexec.attach(job.parse()?)?;
    let (kills, progress) = under_chaos(|| check(&futures))?;
    say(&json!({
        "chaos": "attached", "calls": CALLS, "stored_before": progress.restored,
        "run_again": CALLS - progress.restored, "seconds": begun.elapsed().as_secs(), "kills": kills,
        "runs_before": before, "runs_after": runs(folder)? - before, "retried": progress.retried,
        "lost_workers": progress.lost_workers,
    }))?;
    // What had an outcome was not run again: all runs of this client are of the others, and of their further attempts.
    let most = CALLS - progress.restored + progress.retried;
    if (runs(folder)? - before) as u64 > most {
        return Err(wrong("calls with a stored outcome were run again"));
    }
    Ok(())
}

fn budget() -> RetryPolicy {
    RetryPolicy::new(0).losses(20)
}

/// How many times calls have run.
fn runs(folder: &Path) -> lithops::Result<usize> {
    Ok(fs::read_to_string(folder.join("notes"))?.lines().count())
}

/// Waits for all results, which must be right.
fn check(futures: &FuturesList<u64>) -> lithops::Result<lithops::Progress> {
    let results = futures.get_result()?;
    if results.len() as u64 != CALLS || (0..CALLS).zip(&results).any(|(x, result)| x * x != *result) {
        return Err(wrong("a result is not right"));
    }
    Ok(futures.progress())
}

fn enough(kills: u64) -> lithops::Result<()> {
    if kills < KILLS {
        return Err(wrong(&format!("only {kills} processes were killed, and {KILLS} are needed")));
    }
    Ok(())
}

fn wrong(what: &str) -> lithops::Error {
    lithops::Error::new(ErrorKind::Unexpected, what)
}

/// Lets something happen while a sub-worker is killed every 50 ms, and a worker every second; says how many were.
fn under_chaos<T>(something: impl FnOnce() -> lithops::Result<T>) -> lithops::Result<(u64, T)> {
    let done = Arc::new(AtomicBool::new(false));
    let killed = Arc::new(AtomicU64::new(0));
    let chaos = thread::spawn({
        let (done, killed) = (Arc::clone(&done), Arc::clone(&killed));
        move || {
            let own = BTreeSet::from([i32::try_from(std::process::id()).unwrap_or(0)]);
            for round in 1u64.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
                let workers = children(&own);
                let victims = if round.is_multiple_of(20) { workers } else { children(&workers) };
                killed.fetch_add(u64::from(kill_one(&victims, round)), Ordering::Relaxed);
            }
        }
    });
    let happened = something();
    done.store(true, Ordering::Release);
    // A panic of it would be told by itself.
    drop(chaos.join());
    Ok((killed.load(Ordering::Relaxed), happened?))
}

/// The processes whose parent is one of `parents`.
fn children(parents: &BTreeSet<i32>) -> BTreeSet<i32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let lives = fields.next().is_some_and(|state| state != "Z");
        let parent = fields.next().and_then(|parent| parent.parse().ok());
        lives && parent.is_some_and(|parent| parents.contains(&parent))
    })
    .collect()
}

fn kill_one(pids: &BTreeSet<i32>, seed: u64) -> bool {
    let place = usize::try_from(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).unwrap_or(0);
    let pid = pids.iter().nth(place % pids.len().max(1)).copied().and_then(Pid::from_raw);
    // It may have ended by itself meanwhile.
    pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn say(figures: &serde_json::Value) -> lithops::Result<()> {
    println!("{figures}");
    Ok(())
}
