//! [`Turns`]: one activation at a time, and none once this worker is to leave.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    turn: Arc<Mutex<()>>,
    leaving: watch::Sender<Option<Duration>>,
}

/// Held while an activation runs.
pub(super) type Turn = OwnedMutexGuard<()>;

/// Why an activation may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another activation runs.
    Busy,
    /// This worker is to leave.
    Leaving,
}

impl Turns {
    /// No activation runs.
    pub(super) fn new() -> Self {
        Self { turn: Arc::default(), leaving: watch::Sender::new(None) }
    }

    /// Takes the turn, or says why not. It never waits: the client knows better where else to go.
    pub(super) fn take(&self) -> Result<Turn, Refusal> {
        if self.leaving.borrow().is_some() {
            return Err(Refusal::Leaving);
        }
        Arc::clone(&self.turn).try_lock_owned().map_err(|_| Refusal::Busy)
    }

    /// From now on no activation begins, and calls of the one that runs may run on for `grace`.
    pub(super) fn leave(&self, grace: Duration) {
        self.leaving.send_replace(Some(grace));
    }

    /// Tells an activation when this worker is to leave.
    pub(super) fn leaving(&self) -> watch::Receiver<Option<Duration>> {
        self.leaving.subscribe()
    }

    /// Waits until no activation runs.
    pub(super) async fn over(&self) {
        drop(self.turn.lock().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_the_turn_and_nothing_begins_once_the_worker_is_to_leave() {
        let turns = Turns::new();
        let turn = turns.take().expect("it is free");
        assert_eq!(turns.take().err(), Some(Refusal::Busy));
        drop(turn);
        let turn = turns.take().expect("it is free again");
        turns.leave(Duration::from_secs(1));
        assert_eq!(turns.take().err(), Some(Refusal::Leaving));
        drop(turn);
        turns.over().await;
        assert_eq!(turns.take().err(), Some(Refusal::Leaving));
    }
}
