//! Bare sockets over two hops and back, as calls and their outcomes go: what no system of such processes can beat.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

/// The variable that tells a process which part it plays.
const PART: &str = "LITHOPS_BENCH_ECHO";
/// The length of a message.
const MESSAGE: usize = 16;
const TRIPS: usize = 10_000;
/// How many messages are under way at once where their rate is measured.
const WINDOW: usize = 1_024;

/// The part that this process plays, if it was started to play one.
pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// The median of a round trip in microseconds, its 99th percentile, and how many messages a second there can be.
pub(crate) fn echo() -> io::Result<Value> {
    let (mut deferred_reduce, mut pipe) = start("relay")?;
    let mut message = [0; MESSAGE];
    let mut micros = Vec::with_capacity(TRIPS);
    for _ in 0..TRIPS {
        let begun = Instant::now();
        pipe.write_all(&message)?;
        pipe.read_exact(&mut message)?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    let mut messages = vec![0; WINDOW * MESSAGE];
    let begun = Instant::now();
    for _ in 0..TRIPS / 10 {
        pipe.write_all(&messages)?;
        pipe.read_exact(&mut messages)?;
    }
    let rate = (WINDOW * TRIPS / 10) as f64 / begun.elapsed().as_secs_f64();
    drop(pipe);
    deferred_reduce.wait()?;
    Ok(json!({ "value": micros[TRIPS / 2], "p99": micros[TRIPS * 99 / 100], "messages_per_second": rate }))
}

/// Starts this program again in a part, with a socket as its standard input.
fn start(part: &str) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child =
        Command::new("/proc/self/exe").env(PART, part).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    Ok((child, ours))
}

/// Plays the part until the other side is gone.
pub(crate) fn play(part: &str) -> io::Result<()> {
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
