//! Measures this machine: many small calls, one call at a time, and bare pipes beside them. Prints JSON lines.
//!
//! Run it with `cargo xtask bench`, or `cargo run --release --example bench -- noop|latency|echo|kill`.

use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use lithops::prelude::*;
use serde_json::{Value, json};

const CALLS: u64 = 1_000_000;
const RUNS: usize = 5;
/// The variable that tells a process of `echo` which part it plays.
const PART: &str = "LITHOPS_BENCH_ECHO";
/// The length of a message of `echo`.
const MESSAGE: usize = 16;

fn main() -> lithops::Result<()> {
    // The pipes are measured without lithops: not even its start.
    if let Ok(part) = std::env::var(PART) {
        return Ok(play(&part)?);
    }
    lithops::init();
    let runtime = tokio::runtime::Runtime::new()?;
    match std::env::args().nth(1).as_deref() {
        Some("noop") => runtime.block_on(noop_calls()),
        Some("latency") => runtime.block_on(latency()),
        Some("echo") => Ok(echo()?),
        Some("kill") => runtime.block_on(kill()),
        _ => Err(lithops::Error::new(lithops::ErrorKind::InvalidInput, "no such measurement")
            .with_hint("write `noop`, `latency`, `echo` or `kill`")),
    }
}

#[lithops::function]
fn noop(x: u64) -> u64 {
    x
}

/// One map of a million calls that do nothing.
async fn noop_calls() -> lithops::Result<()> {
    let cpus = thread::available_parallelism()?.get();
    let fexec = FunctionExecutor::builder().worker_processes(cpus).build().await?;
    fexec.map(noop, 0..1_000).await?.get_result().await?;
    let start_kb = memory_kb("VmRSS")?;
    let (mut rates, mut undecoded_kb, mut decoded_kb) = (Vec::new(), 0, 0);
    for _ in 0..RUNS {
        // The high-water mark starts anew with each run.
        fs::write("/proc/self/clear_refs", "5")?;
        let begun = Instant::now();
        let futures = fexec.map(noop, 0..CALLS).await?;
        futures.wait().await?;
        rates.push(CALLS as f64 / begun.elapsed().as_secs_f64());
        undecoded_kb = undecoded_kb.max(memory_kb("VmHWM")?);
        let values = futures.get_result().await?;
        assert!(values.iter().copied().eq(0..CALLS), "every call gives its own value, in order");
        decoded_kb = decoded_kb.max(memory_kb("VmHWM")?);
    }
    print(
        "noop",
        "calls/s",
        rates,
        json!({
            "calls": CALLS, "worker_processes": cpus, "rss_at_start_kb": start_kb,
            "peak_rss_before_decoding_kb": undecoded_kb, "peak_rss_with_values_kb": decoded_kb,
        }),
    )
}

/// One call after another, on a worker that is warm.
async fn latency() -> lithops::Result<()> {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await?;
    let mut micros = Vec::new();
    for call in 0..2_200 {
        let begun = Instant::now();
        let value = fexec.call_async(noop, call).await?.result().await?;
        assert_eq!(value, call, "the call gives its own value");
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let mut warm = micros.split_off(200);
    warm.sort_by(f64::total_cmp);
    let p99 = warm[warm.len() * 99 / 100];
    print("latency", "us", warm, json!({ "p99": p99 }))
}

/// Messages from this process over a second one to a third and back, as calls and their outcomes go.
fn echo() -> io::Result<()> {
    let (mut relay, mut pipe) = start("relay")?;
    for (window, trips) in [(1, 20_000), (1_024, 2_000)] {
        let mut message = vec![0; window * MESSAGE];
        let mut seconds = Vec::new();
        for _ in 0..RUNS {
            let begun = Instant::now();
            for _ in 0..trips {
                pipe.write_all(&message)?;
                pipe.read_exact(&mut message)?;
            }
            seconds.push(begun.elapsed() / trips);
        }
        let extra = json!({ "window": window, "message_bytes": MESSAGE });
        let (unit, values): (_, Vec<f64>) = match window {
            1 => ("us/round trip", seconds.iter().map(|trip| trip.as_secs_f64() * 1e6).collect()),
            _ => (
                "messages/s",
                seconds.iter().map(|trip: &Duration| window as f64 / trip.as_secs_f64()).collect(),
            ),
        };
        print("echo", unit, values, extra).map_err(io::Error::other)?;
    }
    drop(pipe);
    relay.wait().map(drop)
}

/// Says when its second attempt starts, in nanoseconds since the Unix epoch; the first one waits for its end.
#[lithops::function]
fn second_start(context: CallContext, started: PathBuf) -> u64 {
    if context.attempt() > 1 {
        return nanos();
    }
    if fs::write(&started, std::os::unix::process::parent_id().to_string()).is_err() {
        return 0;
    }
    loop {
        thread::park();
    }
}

/// From the SIGKILL of a worker to its call running in the next one.
async fn kill() -> lithops::Result<()> {
    let folder = tempfile::tempdir()?;
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await?;
    let mut took = Vec::new();
    for round in 0..15 {
        let started = folder.path().join(round.to_string());
        let future = fexec.call_async(second_start, started.clone()).await?;
        let worker = loop {
            match fs::read_to_string(&started).ok().and_then(|pid| pid.parse().ok()) {
                Some(pid) => break pid,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let pid =
            rustix::process::Pid::from_raw(worker).ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        let killed = nanos();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(io::Error::from)?;
        took.push(future.result().await?.saturating_sub(killed) as f64 / 1e6);
    }
    print("kill", "ms", took, json!({ "goal": 200 }))
}

fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Starts this program again in a part of `echo`, with a socket as its standard input.
fn start(part: &str) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child =
        Command::new("/proc/self/exe").env(PART, part).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    Ok((child, ours))
}

/// Plays the part until the other side is gone.
fn play(part: &str) -> io::Result<()> {
    let above = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    if part == "echo" {
        return forward(&above, &above);
    }
    let (mut echo, below) = start("echo")?;
    thread::scope(|scope| {
        let up = scope.spawn(|| forward(&below, &above));
        forward(&above, &below)?;
        below.shutdown(std::net::Shutdown::Write)?;
        up.join().map_err(|_| io::Error::other("the other direction panicked"))?
    })?;
    echo.wait().map(drop)
}

fn forward(mut from: &UnixStream, mut to: &UnixStream) -> io::Result<()> {
    let mut buffer = [0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length])?,
        }
    }
}

/// A line of JSON: what was measured, and whatever else there is to say of it.
#[expect(clippy::print_stdout, reason = "the measurements are what it is for")]
fn print(bench: &str, unit: &str, mut values: Vec<f64>, extra: Value) -> lithops::Result<()> {
    values.sort_by(f64::total_cmp);
    let (median, min, max) = (values[values.len() / 2], values[0], values[values.len() - 1]);
    let mut line = json!({
        "bench": bench, "unit": unit, "median": median, "min": min, "max": max, "runs": values.len(),
    });
    if let (Value::Object(line), Value::Object(extra)) = (&mut line, extra) {
        line.extend(extra);
    }
    println!("{line}");
    Ok(())
}

/// A number of kilobytes that the kernel keeps about this process.
fn memory_kb(name: &str) -> lithops::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| {
        lithops::Error::new(lithops::ErrorKind::Io, format!("the kernel does not say `{name}`"))
    })
}
