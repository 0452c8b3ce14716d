//! [`Environment`]: the part of an environment that the pool and the Runtime API share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Invocation, Mode, Outcome, log::Log, tree::Tree};
use crate::{EnvironmentInfo, counts::Ledger, function::Function};

/// The part of an environment that the pool and the Runtime API share.
///
/// It is busy from its start to the end of its first invocation, then finishing until it asks for the next, then idle
/// until it is claimed for one.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(super) function: Arc<Function>,
    pub(super) pid: u32,
    pub(super) tree: Tree,
    pub(super) log: Log,
    pub(super) state: watch::Sender<State>,
    /// Whether an invocation waits for it to be finished.
    pub(super) is_reserved: AtomicBool,
    /// When it was used last, on a clock of the pool's.
    pub(super) used: AtomicU64,
    pub(super) work: mpsc::Sender<Invocation>,
    pub(super) told: mpsc::Sender<Told>,
    /// What it does now.
    pub(super) current: Mutex<Option<Arc<Current>>>,
    /// The most bytes of a response that is not streamed.
    pub(super) response_limit: usize,
    pub(super) requires_json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Busy,
    Finishing,
    Idle,
    Ended,
}

/// What a runtime tells over its API.
#[derive(Debug)]
pub(super) enum Told {
    /// It waits for an invocation.
    Asked(oneshot::Sender<Handed>),
    /// It has answered the one that it had.
    Answered(Outcome),
    /// Its answer has ended before its end.
    Truncated,
    /// It cannot work.
    InitFailed(Bytes),
}

/// An invocation as it is handed to a runtime.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) id: String,
    pub(super) payload: Bytes,
    /// In milliseconds since 1970.
    pub(super) deadline: u128,
    pub(super) arn: String,
}

/// The invocation that an environment has, as far as its answer is concerned.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) id: String,
    pub(super) mode: Mode,
    pub(super) is_answered: AtomicBool,
}

impl Environment {
    pub(crate) fn info(&self) -> EnvironmentInfo {
        EnvironmentInfo {
            function: self.function.name.clone(),
            pid: self.pid,
            is_idle: *self.state.borrow() == State::Idle,
        }
    }

    pub(super) fn enter(&self, state: State, ledger: &Ledger) {
        let before = self.state.send_replace(state);
        ledger.note(|counts| {
            counts.idle -= u64::from(before == State::Idle);
            counts.idle += u64::from(state == State::Idle);
        });
    }

    /// Claims the environment if it is idle.
    pub(super) fn claim(&self, ledger: &Ledger) -> bool {
        let is_claimed = self.state.send_if_modified(|state| {
            let is_idle = *state == State::Idle;
            if is_idle {
                *state = State::Busy;
            }
            is_idle
        });
        if is_claimed {
            ledger.note(|counts| counts.idle -= 1);
        }
        is_claimed
    }

    /// Reserves the environment for the caller until it is finished.
    pub(super) fn reserve(&self) -> bool {
        *self.state.borrow() == State::Finishing && !self.is_reserved.swap(true, Ordering::AcqRel)
    }

    /// Waits until it is finished, but not longer than said, and takes it if it is.
    pub(super) async fn claim_reserved(&self, patience: Duration, ledger: &Ledger) -> bool {
        let mut state = self.state.subscribe();
        let finished = state.wait_for(|state| *state != State::Finishing);
        let _ = tokio::time::timeout(patience, finished).await;
        let is_claimed = self.claim(ledger);
        self.is_reserved.store(false, Ordering::Release);
        is_claimed
    }
}
