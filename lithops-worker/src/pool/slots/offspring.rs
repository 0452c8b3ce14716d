//! Processes that calls leave behind: they outlive the sub-worker they were started from, in any group or session.
//!
//! The worker is the subreaper of every process below it: a process that has lost its parent becomes a child of the
//! worker. Its environment names the sub-worker it came from, unless it was started without one; for that case the
//! processes below a sub-worker are remembered when that is asked to end.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

use crate::processes;

/// The sub-workers of this process that have not been reaped.
static SUB_WORKERS: Mutex<BTreeMap<i32, Lineage>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Lineage {
    mark: String,
    /// The processes that were below it when it was asked to end.
    below: Vec<Pid>,
}

/// Notes that a sub-worker was started.
pub(in crate::pool) fn started(pid: Pid, mark: &str) {
    sub_workers().insert(pid.as_raw_nonzero().get(), Lineage { mark: mark.to_owned(), below: Vec::new() });
}

/// Notes that a sub-worker is asked to end: the processes that are below it now must end with it.
pub(in crate::pool) fn is_to_end(pid: Pid) {
    let below = processes::below(pid);
    if let Some(known) = sub_workers().get_mut(&pid.as_raw_nonzero().get()) {
        let new: Vec<_> = below.into_iter().filter(|pid| !known.below.contains(pid)).collect();
        known.below.extend(new);
    }
}

/// Ends the processes that a sub-worker has left behind. It must have ended, and not have been reaped: its number could
/// be that of another process then.
pub(in crate::pool) fn end_left_behind(pid: Pid) {
    let known = sub_workers();
    let Some(Lineage { mark, below }) = known.get(&pid.as_raw_nonzero().get()) else { return };
    let orphans = processes::children(getpid());
    let orphans = orphans.into_iter().filter(|orphan| !known.contains_key(&orphan.as_raw_nonzero().get()));
    for orphan in orphans.filter(|orphan| below.contains(orphan) || processes::is_marked(*orphan, mark)) {
        processes::end_below(orphan);
        // The orphan may have ended by itself.
        let _ = kill_process(orphan, Signal::KILL);
    }
}

/// Notes that a sub-worker was reaped: its number is no longer its own.
pub(in crate::pool) fn reaped(pid: Pid) {
    sub_workers().remove(&pid.as_raw_nonzero().get());
    reap_orphans();
}

/// Reaps orphans that have ended.
pub(in crate::pool) fn reap_orphans() {
    let looks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, looks), Ok(Some(_))) {
        return;
    }
    let known = sub_workers();
    let children = processes::children(getpid());
    for orphan in children.into_iter().filter(|child| !known.contains_key(&child.as_raw_nonzero().get())) {
        // Nothing happens to those that live on.
        let _ = waitid(WaitId::Pid(orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

fn sub_workers() -> MutexGuard<'static, BTreeMap<i32, Lineage>> {
    SUB_WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}
