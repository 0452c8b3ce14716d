//! [`Fleets`]: the workers on this machine that find their jobs themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lithops_core::{
    compute::{ExitReason, WorkerProcess},
    error::{Error, ErrorKind, Result},
    protocol::{Launch, Program},
};

/// The workers on this machine that find their jobs themselves. A worker ends when its handle is dropped, as all workers
/// of this machine do.
#[derive(Debug, Default)]
pub(crate) struct Fleets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    workers: Vec<(String, WorkerProcess)>,
    started: u64,
    /// How many workers in a row have ended before they said hello.
    in_vain: u32,
}

/// After this many workers in a row that ended before they said hello, no further one is started: the cause is not one
/// worker's, and the fleet would be started for ever.
const IN_VAIN: u32 = 5;

impl Fleets {
    /// Starts workers of a fleet until `workers` live; returns the names of those that do.
    pub(crate) fn scale(
        &self,
        launch: &Launch,
        workers: usize,
        runtime: &Program,
        program: &Program,
    ) -> Result<Vec<String>> {
        let mut state = self.lock();
        let refused = state.workers.iter().find_map(|(_, worker)| match worker.ended() {
            Some(ExitReason::Refused(words)) => Some(words),
            _ => None,
        });
        if let Some(words) = refused {
            state.workers.retain(|(_, worker)| worker.is_alive());
            return Err(Error::new(
                ErrorKind::WorkerLost,
                format!("a worker of the fleet cannot work: {words}"),
            ));
        }
        if state.workers.iter().any(|(_, worker)| worker.has_come()) {
            state.in_vain = 0;
        }
        let not_started = state.workers.iter().filter_map(|(_, worker)| match worker.ended() {
            Some(ExitReason::NotStarted(words)) => Some(words),
            _ => None,
        });
        let not_started: Vec<_> = not_started.collect();
        state.in_vain += u32::try_from(not_started.len()).unwrap_or(u32::MAX);
        if let Some(words) = not_started.last().filter(|_| state.in_vain >= IN_VAIN) {
            let count = std::mem::take(&mut state.in_vain);
            state.workers.retain(|(_, worker)| worker.is_alive());
            return Err(Error::new(
                ErrorKind::WorkerLost,
                format!(
                    "{count} workers of the fleet in a row ended as soon as they were started; of the last: {words}"
                ),
            ));
        }
        // The reason of a worker that has just ended is not known yet: it may have refused.
        state.workers.retain(|(_, worker)| worker.is_alive() || worker.ended().is_none());
        while state.workers.len() < workers {
            state.started += 1;
            // The name is used once only, because that of the fleet is.
            let name = format!("{}-{}", launch.fleet, state.started);
            let worker = WorkerProcess::launch(runtime, program, launch.named(&name))?;
            state.workers.push((name, worker));
        }
        let alive = state.workers.iter().filter(|(_, worker)| worker.is_alive());
        Ok(alive.map(|(name, _)| name.clone()).collect())
    }

    /// Lets all workers leave once their jobs are done; `now` ends what they run.
    pub(crate) fn close(&self, now: bool) {
        let mut state = self.lock();
        if now {
            state.workers.drain(..).for_each(|(_, worker)| worker.kill());
        }
        // The handles are kept: a worker ends when its handle is dropped.
        state.workers.iter().for_each(|(_, worker)| worker.let_go());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
