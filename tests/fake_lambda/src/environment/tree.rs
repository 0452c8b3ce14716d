//! [`Tree`]: all processes of an environment, to be stopped, continued and killed together.

use std::{collections::HashSet, fs, io, path::PathBuf, sync::Mutex, thread, time::Duration};

use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::shared::lock;

/// How often it is looked whether all processes have heard a signal.
const ROUNDS: usize = 2000;
const ROUND: Duration = Duration::from_millis(1);
/// How often it is looked whether a process without variables has any after all.
const EMPTY_ROUNDS: usize = 5;

/// All processes of an environment: the one that was started and its descendants.
///
/// Descendants may have lost their parent, and may be in other process groups and sessions. Those are known by having
/// been seen before, by the variable that only this environment has, or by where they print.
#[derive(Debug)]
pub(super) struct Tree {
    leader: i32,
    /// When the leader has started, in the kernel's ticks. Descendants have not been there before.
    since: u64,
    variable: Vec<u8>,
    output: PathBuf,
    /// All that were seen, with their starts, since ids are given again.
    seen: Mutex<HashSet<(i32, u64)>>,
}

/// A process as the kernel describes it.
#[derive(Debug)]
struct Process {
    pid: i32,
    state: char,
    parent: i32,
    group: i32,
    since: u64,
    /// Threads of the kernel have none.
    has_memory: bool,
}

impl Tree {
    /// The tree of a process that has just been started with this variable, and that prints into this pipe.
    pub(super) fn new(leader: u32, variable: &str, output: PathBuf) -> io::Result<Self> {
        let leader = i32::try_from(leader).map_err(io::Error::other)?;
        // A process that has ended already exists until its parent waits for it.
        let since = Process::read(leader).map_or(0, |process| process.since);
        Ok(Self { leader, since, variable: variable.as_bytes().to_vec(), output, seen: Mutex::default() })
    }

    /// Stops all processes, and says which. They are stopped when this returns.
    pub(super) fn stop(&self) -> Vec<i32> {
        self.signal(Signal::STOP, |state| matches!(state, 'T' | 't'))
    }

    /// Continues processes that were stopped.
    pub(super) fn resume(stopped: &[i32]) {
        // Their parents are woken last, so that they find them as they have left them.
        for pid in stopped.iter().rev() {
            send(*pid, Signal::CONT);
        }
    }

    /// Kills all processes. They are gone when this returns, but for what is left to be waited for.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL, |_| false);
    }

    /// The most memory that the leader has ever had, in MB.
    pub(super) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.leader)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0).div_ceil(1024)
    }

    /// Sends a signal to all, also to those that come meanwhile, until all are as wanted.
    fn signal(&self, signal: Signal, is_done: impl Fn(char) -> bool) -> Vec<i32> {
        let (mut sent, mut order) = (HashSet::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut is_over = true;
            for process in self.processes() {
                if sent.insert((process.pid, process.since)) {
                    send(process.pid, signal);
                    order.push(process.pid);
                    is_over = false;
                }
                is_over &= is_done(process.state);
            }
            if is_over {
                break;
            }
            thread::sleep(ROUND);
        }
        order
    }

    /// All that are alive, parents before their children if they still have any.
    fn processes(&self) -> Vec<Process> {
        let mut others = every_process();
        others.retain(|process| process.since >= self.since);
        let mut seen = lock(&self.seen);
        let mut found = with_descendants(&mut others, |process| {
            process.pid == self.leader
                || process.group == self.leader
                || seen.contains(&(process.pid, process.since))
        });
        let is_lost = |process: &Process| self.prints_here(process) || self.has_variable(process);
        found.extend(with_descendants(&mut others, is_lost));
        seen.extend(found.iter().map(|process| (process.pid, process.since)));
        found
    }

    fn prints_here(&self, process: &Process) -> bool {
        [1, 2].iter().any(|fd| {
            let file = fs::read_link(format!("/proc/{}/fd/{fd}", process.pid));
            file.is_ok_and(|file| file == self.output)
        })
    }

    fn has_variable(&self, process: &Process) -> bool {
        for _ in 0..EMPTY_ROUNDS {
            // What belongs to somebody else cannot be read, and is no descendant.
            let variables = fs::read(format!("/proc/{}/environ", process.pid));
            match variables.as_deref() {
                // So it looks for a moment while it becomes another program.
                Ok([]) if process.has_memory => thread::sleep(ROUND),
                Ok(variables) => {
                    return variables.split(|byte| *byte == 0).any(|variable| variable == self.variable);
                }
                Err(_) => return false,
            }
        }
        false
    }
}

/// Takes those that are wanted, and all that descend from them.
fn with_descendants(others: &mut Vec<Process>, is_wanted: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut found: Vec<Process> = others.extract_if(.., |process| is_wanted(process)).collect();
    let mut at = 0;
    while let Some(parent) = found.get(at).map(|process| process.pid) {
        found.extend(others.extract_if(.., |process| process.parent == parent));
        at += 1;
    }
    found
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The name, which comes second, may have brackets and spaces of its own.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            pid,
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            since: fields.get(19)?.parse().ok()?,
            has_memory: *fields.get(20)? != "0",
        })
    }

    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

fn every_process() -> Vec<Process> {
    let own = getpid().as_raw_nonzero().get();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own).filter_map(Process::read).filter(Process::is_alive).collect()
}

fn send(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}
