//! What the calls of the trials do, in workers of the backend that is tried.

use std::{fs, process, thread, time::Duration};

use lithops_core::{bytes::Bytes, error::Error, function::Shared, id::CallId, storage::StorageClient};
use lithops_macros::function;
use serde::{Deserialize, Serialize};

use super::marks::Marks;

/// Where a call ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) call: u64,
    pub(super) process: u32,
    pub(super) parent: u32,
}

fn here(call: CallId) -> Place {
    Place { call: call.into(), process: process::id(), parent: std::os::unix::process::parent_id() }
}

#[function(crate = "crate")]
pub(super) fn square(x: u64) -> u64 {
    x * x
}

#[function(crate = "crate")]
pub(super) fn echo(bytes: Bytes) -> Bytes {
    bytes
}

#[function(crate = "crate")]
pub(super) fn place(call: CallId, _x: u64) -> Place {
    here(call)
}

/// Takes its time, so that calls which may run at once do.
#[function(crate = "crate")]
pub(super) fn nap(call: CallId, milliseconds: u64) -> Place {
    thread::sleep(Duration::from_millis(milliseconds));
    here(call)
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the text is no number")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[function(crate = "crate")]
pub(super) fn parse(text: String) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    assert!(text != "panic", "it was asked to");
    Ok(text.parse().map_err(Outer)?)
}

/// Prints what it is told to, on both outputs, and ends as it is told to.
#[function(crate = "crate")]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is what is looked at")]
pub(super) fn print(call: CallId, lines: u64) -> Result<u64, String> {
    for line in 0..lines {
        println!("call {call} prints line {line}");
        eprintln!("call {call} complains in line {line}");
    }
    if lines % 3 == 2 { Err(format!("call {call} fails")) } else { Ok(lines) }
}

/// Ends its process: with this code from 0 up, by this signal below.
#[function(crate = "crate")]
#[expect(clippy::exit, clippy::disallowed_methods, reason = "that is what is tried")]
pub(super) fn end(how: i32) -> i32 {
    if how >= 0 {
        process::exit(how);
    }
    // The first of some signals is taken for a stack that has overflowed, and only the second ends the process.
    loop {
        kill(process::id(), -how);
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends its worker when it is tried for the first time: it leaves a mark before.
#[function(crate = "crate")]
pub(super) async fn end_worker(
    storage: StorageClient,
    call: CallId,
    input: (String, u64),
) -> Result<u64, Error> {
    let (folder, victim) = input;
    let marks = Marks::new(storage, folder);
    if u64::from(call) == victim && !marks.has("ended").await? {
        marks.set("ended").await?;
        let worker = std::os::unix::process::parent_id();
        // The first process of a container cannot be killed from within: told to leave a second time, it waits for no call.
        if worker == 1 {
            loop {
                kill(worker, 15);
                thread::sleep(Duration::from_millis(100));
            }
        }
        kill(worker, 9);
        forever()
    }
    Ok(call.into())
}

/// Ends its own process when it is tried for the first time.
#[function(crate = "crate")]
pub(super) async fn end_once(storage: StorageClient, call: CallId, folder: String) -> Result<u64, Error> {
    let marks = Marks::new(storage, folder);
    let name = format!("tried-{call}");
    if !marks.has(&name).await? {
        marks.set(&name).await?;
        kill(process::id(), 9);
        forever()
    }
    Ok(call.into())
}

/// Leaves a mark when it begins, a new one each time, and goes on once there is the mark `go`.
#[function(crate = "crate")]
pub(super) async fn wait(storage: StorageClient, call: CallId, folder: String) -> Result<u64, Error> {
    let marks = Marks::new(storage, folder);
    marks.set(&format!("begun-{call}-{}", uuid::Uuid::new_v4().simple())).await?;
    while !marks.has("go").await? {
        thread::sleep(Duration::from_millis(5));
    }
    marks.set(&format!("ended-{call}")).await?;
    Ok(call.into())
}

/// The same, with the number of its process in the mark.
#[function(crate = "crate")]
pub(super) async fn wait_in_process(
    storage: StorageClient,
    call: CallId,
    folder: String,
) -> Result<u64, Error> {
    let marks = Marks::new(storage, folder);
    marks.set(&format!("begun-{call}-{}", process::id())).await?;
    while !marks.has("go").await? {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(call.into())
}

/// Call 0 is done at once; the others wait for the mark `go`.
#[function(crate = "crate")]
pub(super) async fn wait_but_first(
    storage: StorageClient,
    call: CallId,
    folder: String,
) -> Result<u64, Error> {
    let marks = Marks::new(storage, folder);
    if u64::from(call) == 0 {
        marks.set("first").await?;
    }
    while u64::from(call) > 0 && !marks.has("go").await? {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(call.into())
}

#[function(crate = "crate")]
pub(super) fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[function(crate = "crate")]
pub(super) fn with_shared(x: u64, shared: Shared<Bytes>) -> u64 {
    x + shared.len() as u64
}

/// Whether a text stands in the arguments or the environment of this process, or of those above it.
#[function(crate = "crate")]
pub(super) fn is_seen(text: String) -> Vec<String> {
    let (mut found, mut pid) = (Vec::new(), process::id());
    while pid > 1 {
        for name in ["cmdline", "environ"] {
            let path = format!("/proc/{pid}/{name}");
            // Processes of other users cannot be read.
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(path);
            }
        }
        pid = parent_of(pid).unwrap_or(0);
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

fn kill(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, rustix::process::Signal::from_named_raw(signal)) {
        // Whatever comes of it, this call ends no other way.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn forever() -> ! {
    loop {
        thread::park();
    }
}
