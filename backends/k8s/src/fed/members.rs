//! [`Members`]: the workers that are connected, and those that wait for one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use lithops_core::{
    compute::{Invocation, InvokeRequest, WaitingWorkers, WorkerChannel, WorkerEnd},
    error::{Error, ErrorKind, Result},
};
use tokio::task::AbortHandle;

use super::connect::Ended;

/// The most ends of workers that are kept for a later question.
const ENDS: usize = 1000;

/// A worker that is connected.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) channel: Arc<WorkerChannel>,
    pub(super) ended: Ended,
    /// Cuts the connection: the worker ends what it runs, and itself.
    pub(super) cut: AbortHandle,
    /// Since when it serves no job.
    idle: Option<Instant>,
}

impl Member {
    pub(super) fn new(channel: Arc<WorkerChannel>, ended: Ended, cut: AbortHandle) -> Self {
        Self { channel, ended, cut, idle: None }
    }

    fn stays(&self) -> bool {
        self.channel.is_alive() && !self.channel.leaves()
    }
}

/// The workers that are connected, and what is known of the others.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) connected: Vec<Member>,
    /// The workers that were connected to, are being connected to, or could not be, by the uid of their pod until it has ended.
    pub(super) known: BTreeSet<String>,
    /// How many requests wait for a worker.
    pub(super) demand: usize,
    /// How many look for how a worker has ended.
    pub(super) mourners: usize,
    /// What workers wait for that are not there.
    pub(super) waiting: Vec<WaitingWorkers>,
    /// How workers have ended, by their uid.
    pub(super) ends: BTreeMap<String, WorkerEnd>,
    /// The last error because of which no worker can come, with its number.
    pub(super) failure: Option<(u64, Error)>,
    pub(super) failures: u64,
}

impl Members {
    /// Hands a request to a worker that does not serve its job yet; `None` when one is to be waited for.
    ///
    /// # Errors
    /// `RateLimited` when as many workers as may live serve the job already.
    pub(super) fn invoke(&mut self, request: &InvokeRequest, most: usize) -> Result<Option<Invocation>> {
        let job = request.job.job;
        let staying: Vec<_> = self.connected.iter().filter(|member| member.stays()).collect();
        let of_others = staying.iter().filter(|member| !member.channel.serves(job));
        let Some(idlest) = of_others.min_by_key(|member| member.channel.jobs()) else {
            let problem = format!("all {most} workers serve the job already");
            return if staying.len() >= most {
                Err(Error::new(ErrorKind::RateLimited, problem))
            } else {
                Ok(None)
            };
        };
        // A busy worker is shared only when no further one may live.
        if idlest.channel.jobs() > 0 && staying.len() < most {
            return Ok(None);
        }
        idlest.channel.invoke(request)
    }

    /// How many workers are to be there: those that stay, and one for each request that waits.
    pub(super) fn wanted(&self, most: usize) -> usize {
        let staying = self.connected.iter().filter(|member| member.stays()).count();
        (staying + self.demand).min(most)
    }

    /// Forgets workers that have ended, and lets those go that have served no job for too long.
    pub(super) fn prune(&mut self, patience: Duration) {
        self.connected.retain_mut(|member| {
            let is_idle = member.channel.jobs() == 0 && !member.channel.leaves();
            let since = *member.idle.get_or_insert_with(Instant::now);
            if !is_idle {
                member.idle = None;
            }
            member.channel.is_alive() && !(is_idle && since.elapsed() > patience)
        });
    }

    pub(super) fn note_end(&mut self, worker: String, end: WorkerEnd) {
        while self.ends.len() >= ENDS {
            self.ends.pop_first();
        }
        self.known.remove(&worker);
        self.ends.insert(worker, end);
    }

    pub(super) fn fail(&mut self, error: Error) {
        self.failures += 1;
        self.failure = Some((self.failures, error));
    }
}
