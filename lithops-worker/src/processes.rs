//! The processes below a process, and those that its descendants have started: how they are found and ended.
//!
//! A process can leave its group and its session, and its parent may have ended. Its first environment stays readable in
//! `/proc`, and so does the number of its parent.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use lithops_core::process::MARK_VARIABLE;
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};

/// How often new processes are looked for while others are being killed: against a program that forks as fast as it
/// can, each round leaves fewer.
const ROUNDS: usize = 16;

/// All processes below `root`, parents before their children.
pub(crate) fn below(root: Pid) -> Vec<Pid> {
    // Without this file of the kernel every process of the machine is read, once.
    let tells = fs::exists("/proc/thread-self/children").unwrap_or(false);
    let all = if tells { HashMap::new() } else { parents_and_children() };
    let children_of = |parent: Pid| {
        if tells { children(parent) } else { all.get(&parent).cloned().unwrap_or_default() }
    };
    let mut found = children_of(root);
    let mut seen: HashSet<Pid> = found.iter().copied().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(children_of(parent).into_iter().filter(|child| seen.insert(*child)));
        next += 1;
    }
    found
}

/// The children of a process: those it has started, and orphans that were left to it.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let Ok(text) = fs::read_to_string(thread.path().join("children")) else {
            return parents_and_children().remove(&parent).unwrap_or_default();
        };
        found.extend(text.split_ascii_whitespace().filter_map(number));
    }
    found
}

/// Kills all processes below `root`, also those that are started meanwhile.
pub(crate) fn end_below(root: Pid) {
    end_found(|| below(root));
}

/// Kills all processes of the machine that are marked with `mark`, but for this one.
pub(crate) fn end_marked(mark: &str) {
    let own = getpid();
    end_found(|| all().filter(|pid| *pid != own && is_marked(*pid, mark)).collect());
}

/// Sends a signal to a process that was started as the leader of a group, and to this group, which it may have left.
pub(crate) fn end_group(leader: Pid, signal: Signal) {
    // The process and its group may have ended by themselves meanwhile.
    let _ = kill_process_group(leader, signal);
    let _ = kill_process(leader, signal);
}

/// Whether a process was started by a call of the sub-worker with this mark, or is a copy of it.
pub(crate) fn is_marked(pid: Pid, mark: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is_mark = |variable: &[u8]| {
        let value = variable.strip_prefix(MARK_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value == Some(mark.as_bytes())
    };
    environment.split(|byte| *byte == 0).any(is_mark)
}

/// Kills the processes that a search finds, until it finds no new one: killed processes cannot start others.
fn end_found(search: impl Fn() -> Vec<Pid>) {
    let mut killed = HashSet::new();
    for _ in 0..ROUNDS {
        let found: Vec<_> = search().into_iter().filter(|pid| killed.insert(*pid)).collect();
        if found.is_empty() {
            return;
        }
        for pid in found {
            // The process may have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn all() -> impl Iterator<Item = Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| number(process.file_name().to_str()?))
}

/// All processes of the machine by their parents, for kernels that do not list the children of a process.
fn parents_and_children() -> HashMap<Pid, Vec<Pid>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for pid in all() {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in brackets, may hold any characters; state and parent come after it.
        let parent = status.rsplit(')').next().and_then(|rest| number(rest.split_whitespace().nth(1)?));
        if let Some(parent) = parent {
            found.entry(parent).or_default().push(pid);
        }
    }
    found
}

fn number(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A shell that has started another process and says its number.
    fn family(mark: &str) -> (Child, Pid, Pid) {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .env(MARK_VARIABLE, mark)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a number");
        let (parent, child) = (number(&shell.id().to_string()), number(line.trim()));
        (shell, parent.expect("a number"), child.expect("a number"))
    }

    #[test]
    fn what_is_below_a_process_is_found_and_ended() {
        let (mut shell, parent, child) = family("below");
        assert_eq!(below(parent), [child]);
        assert!(below(getpid()).contains(&parent) && below(getpid()).contains(&child));
        assert_eq!(parents_and_children().get(&parent), Some(&vec![child]), "where the kernel does not tell");
        end_below(parent);
        // Its only child has ended, and nothing else ends it.
        assert!(shell.wait().expect("it ends").code().is_some());
    }

    #[test]
    fn what_is_marked_is_found_and_ended() {
        let mark = format!("marked-{}", std::process::id());
        let (mut shell, parent, child) = family(&mark);
        assert!(is_marked(parent, &mark) && is_marked(child, &mark) && !is_marked(child, "marked"));
        end_marked(&mark);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&shell.wait().expect("it ends")), Some(9));
    }
}
