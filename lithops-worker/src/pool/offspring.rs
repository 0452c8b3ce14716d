//! What calls leave behind: processes that outlive the sub-worker they were started from, wherever they have gone.
//!
//! The worker is the subreaper of everything below it: what has lost its parent becomes its child. Whose it was stands
//! in its environment, unless it was started without one; what was below a sub-worker when that was asked to end is
//! remembered besides.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

use crate::processes;

/// The sub-workers of this process that have not been reaped.
static SUB_WORKERS: Mutex<BTreeMap<i32, Known>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Known {
    mark: String,
    /// What was below it when it was asked to end.
    below: Vec<Pid>,
}

/// A sub-worker was started.
pub(super) fn started(pid: Pid, mark: &str) {
    sub_workers().insert(pid.as_raw_nonzero().get(), Known { mark: mark.to_owned(), below: Vec::new() });
}

/// A sub-worker is asked to end: what is below it now is to end with it.
pub(super) fn is_to_end(pid: Pid) {
    let below = processes::below(pid);
    if let Some(known) = sub_workers().get_mut(&pid.as_raw_nonzero().get()) {
        let new: Vec<_> = below.into_iter().filter(|pid| !known.below.contains(pid)).collect();
        known.below.extend(new);
    }
}

/// A sub-worker has ended: so does what it has left. It must not have been reaped.
pub(super) fn end_left_behind(pid: Pid) {
    let known = sub_workers();
    let Some(Known { mark, below }) = known.get(&pid.as_raw_nonzero().get()) else { return };
    let orphans = processes::children(getpid());
    let orphans = orphans.into_iter().filter(|orphan| !known.contains_key(&orphan.as_raw_nonzero().get()));
    for orphan in orphans.filter(|orphan| below.contains(orphan) || processes::is_marked(*orphan, mark)) {
        processes::end_below(orphan);
        // It may have ended by itself.
        let _ = kill_process(orphan, Signal::KILL);
    }
}

/// A sub-worker was reaped: its number is no longer its own.
pub(super) fn reaped(pid: Pid) {
    sub_workers().remove(&pid.as_raw_nonzero().get());
    reap_orphans();
}

/// Lets the numbers of those go that were left to this process and have ended.
pub(super) fn reap_orphans() {
    let looks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if !matches!(waitid(WaitId::All, looks), Ok(Some(_))) {
        return;
    }
    let known = sub_workers();
    let children = processes::children(getpid());
    for orphan in children.into_iter().filter(|child| !known.contains_key(&child.as_raw_nonzero().get())) {
        // Those that live on are left alone.
        let _ = waitid(WaitId::Pid(orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}

fn sub_workers() -> MutexGuard<'static, BTreeMap<i32, Known>> {
    SUB_WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}
