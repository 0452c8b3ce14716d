//! Workers on this machine that were started with a launch document alone, and may have outlived their client.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lithops_core::{
    compute::{FleetMark, Leftover},
    error::{Error, ErrorKind, Result},
    process::ROLE_VARIABLE,
    protocol::Launch,
};
use rustix::process::{Pid, PidfdFlags, Signal, getuid, pidfd_open, pidfd_send_signal};

/// The workers of this user that have a launch document.
pub(crate) fn find() -> Vec<Leftover> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<_> = numbers.filter_map(worker).collect();
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

/// Ends a worker and its sub-workers, which end with their channel to it.
///
/// # Errors
/// When the operating system refuses it.
pub(crate) fn remove(leftover: &Leftover) -> Result<()> {
    let Some(pid) = leftover.id.strip_prefix(PREFIX).and_then(|pid| pid.parse().ok()) else {
        let problem = format!("`{}` names no process of this machine", leftover.id);
        return Err(Error::new(ErrorKind::InvalidInput, problem));
    };
    let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return Ok(());
    };
    // The number may be another process's by now: what is held by the descriptor is looked at again.
    if worker(pid).is_none_or(|now| now.fleet != leftover.fleet || now.since != leftover.since) {
        return Ok(());
    }
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            Err(Error::from(std::io::Error::from(error)).with_context("process", leftover.id.clone()))
        }
    }
}

/// The beginning of the names that processes have here.
const PREFIX: &str = "process ";

/// The process of this number, if it is a worker with a launch document that has not ended.
fn worker(pid: i32) -> Option<Leftover> {
    let text = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable = |name: &str| {
        let mut pairs = text.split(|byte| *byte == 0);
        pairs.find_map(|pair| std::str::from_utf8(pair).ok()?.strip_prefix(name)?.strip_prefix('='))
    };
    // Its sub-workers have its environment too.
    if variable(ROLE_VARIABLE).is_some() || Pid::from_raw(pid) == Some(rustix::process::getpid()) {
        return None;
    }
    let launch = Launch::from_json(variable(Launch::VARIABLE)?).ok()?;
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{pid}")).ok()?);
    if owner != getuid().as_raw() {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit(')').next()?.split_whitespace();
    let state = words.next()?;
    // The numbers of the columns are those of proc(5), where the state is the third.
    let ticks: u64 = words.nth(18)?.parse().ok()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    let stopped = if matches!(state, "T" | "t") { ", which is stopped" } else { "" };
    Some(Leftover {
        id: format!("{PREFIX}{pid}"),
        what: format!("a worker of the fleet {}{stopped}", launch.fleet),
        fleet: Some(FleetMark::of(&launch)),
        since: since(ticks),
        usd_per_hour: Some(0.0),
    })
}

/// The time that is this many ticks after the boot of the machine.
fn since(ticks: u64) -> Option<SystemTime> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(UNIX_EPOCH + Duration::from_secs(boot + ticks / per_second))
}
