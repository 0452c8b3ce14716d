//! [`WorkerProcesses`]: the worker processes of one client, which stay warm between jobs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::WorkerProcess;
use crate::{
    compute::{CloseMode, Invocation, InvocationId, InvokeRequest},
    error::{Error, ErrorKind, Result},
    protocol::{Program, Secrets},
};

/// A worker may end after it was chosen and before it is asked; this many are tried until it is an error.
const TRIES: usize = 3;

/// The worker processes of one client, which stay warm between jobs. A worker ends when its last handle is dropped: at
/// once when it is idle, else with its last job.
#[derive(Debug)]
pub struct WorkerProcesses {
    runtime: Program,
    program: Program,
    secrets: Option<Secrets>,
    max_workers: usize,
    workers: Mutex<Vec<Arc<WorkerProcess>>>,
}

impl WorkerProcesses {
    /// At most `max_workers` processes of `runtime`, whose sub-workers are `program`. `secrets` is what opens the storage.
    /// No process is started before there is a job.
    #[must_use]
    pub fn new(runtime: Program, program: Program, secrets: Option<Secrets>, max_workers: usize) -> Self {
        Self { runtime, program, secrets, max_workers, workers: Mutex::default() }
    }

    /// The program that plays the worker.
    #[must_use]
    pub fn runtime(&self) -> &Program {
        &self.runtime
    }

    /// The program that plays the sub-worker.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What opens the storage.
    #[must_use]
    pub fn secrets(&self) -> Option<&Secrets> {
        self.secrets.as_ref()
    }

    /// Hands a request to a worker that does not serve its job yet: a warm one, or a new one while fewer than
    /// `max_workers` live. Must be called inside a runtime that stays.
    ///
    /// # Errors
    /// `RateLimited` when all workers serve the job already: the executor asks again when one is free. `WorkerLost` when
    /// no worker can be started, or every new one ends at once.
    pub fn invoke(&self, request: &InvokeRequest) -> Result<Invocation> {
        for _ in 0..TRIES {
            if let Some(invocation) = self.worker_for(request)?.invoke(request)? {
                return Ok(invocation);
            }
        }
        Err(Error::new(ErrorKind::WorkerLost, "three workers in a row ended as soon as they were started"))
    }

    /// Ends the calls of an invocation; its worker lives on.
    pub fn cancel(&self, id: &InvocationId) {
        self.workers().iter().for_each(|worker| worker.cancel(id));
    }

    /// Ends the worker of an invocation, with all its jobs.
    pub fn discard(&self, id: &InvocationId) {
        self.workers().iter().filter(|worker| worker.has(id)).for_each(|worker| worker.kill());
    }

    /// Lets the workers end: each with its last job, or all at once.
    pub fn close(&self, mode: CloseMode) {
        let workers = std::mem::take(&mut *self.workers());
        if mode == CloseMode::Now {
            workers.iter().for_each(|worker| worker.kill());
        }
    }

    fn worker_for(&self, request: &InvokeRequest) -> Result<Arc<WorkerProcess>> {
        let mut workers = self.workers();
        workers.retain(|worker| worker.is_alive());
        let job = request.job.job;
        let loads: Vec<_> =
            workers.iter().map(|worker| (!worker.serves(job)).then(|| worker.jobs())).collect();
        match choose(&loads, self.max_workers) {
            Choice::Warm(index) => Ok(Arc::clone(&workers[index])),
            Choice::New => {
                let worker = WorkerProcess::start(&self.runtime, &self.program, self.secrets.as_ref())?;
                let worker = Arc::new(worker);
                workers.push(Arc::clone(&worker));
                Ok(worker)
            }
            Choice::Full => Err(Error::new(
                ErrorKind::RateLimited,
                format!("all {} workers serve the job already", self.max_workers),
            )),
        }
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<WorkerProcess>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker that a job is given.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// The worker at this index.
    Warm(usize),
    /// Another worker is started.
    New,
    /// No further worker may live, and every worker serves the job.
    Full,
}

/// Chooses by how many jobs each live worker serves; `None` is a worker that serves the job itself.
fn choose(loads: &[Option<usize>], max_workers: usize) -> Choice {
    let idlest = loads.iter().enumerate().filter_map(|(index, jobs)| Some((jobs.as_ref()?, index))).min();
    match idlest {
        Some((0, index)) => Choice::Warm(index),
        _ if loads.len() < max_workers => Choice::New,
        // A busy worker is shared only when no further one may live.
        Some((_, index)) => Choice::Warm(index),
        None => Choice::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::JobId, protocol::JobSpec};

    #[test]
    fn an_idle_worker_comes_before_a_new_one_and_a_new_one_before_a_busy_one() {
        for (loads, max_workers, wanted) in [
            (&[][..], 1, Choice::New),
            (&[Some(0)], 2, Choice::Warm(0)),
            (&[Some(2), Some(0)], 2, Choice::Warm(1)),
            (&[Some(1)], 2, Choice::New),
            (&[Some(2), Some(1)], 2, Choice::Warm(1)),
            (&[Some(1), Some(1)], 2, Choice::Warm(0)),
            (&[None], 2, Choice::New),
            (&[None, Some(3)], 2, Choice::Warm(1)),
            (&[None, None], 2, Choice::Full),
        ] {
            assert_eq!(choose(loads, max_workers), wanted, "{loads:?}, at most {max_workers}");
        }
    }

    #[tokio::test]
    async fn a_job_gets_each_worker_once_and_jobs_share_what_may_live() {
        // A process that says nothing and does not end by itself: a worker that is still starting.
        let silent = Program { path: "/bin/sleep".into(), arguments: vec!["600".into()] };
        let processes = WorkerProcesses::new(silent.clone(), silent, None, 2);
        let invoke = |job: u8| {
            let job = Arc::new(JobSpec::blank(JobId::from_bytes([job; 16])));
            processes.invoke(&InvokeRequest::new(job, Vec::new()))
        };
        let first = invoke(1).expect("a worker");
        let second = invoke(1).expect("another worker");
        assert_ne!(first.id, second.id);
        assert_eq!(invoke(1).expect_err("both serve it").kind(), ErrorKind::RateLimited);
        let shared = invoke(2).expect("a worker that serves another job too");
        assert_eq!(processes.workers().len(), 2);
        let jobs: Vec<_> = processes.workers().iter().map(|worker| worker.jobs()).collect();
        assert_eq!(jobs, [2, 1]);
        processes.close(CloseMode::Now);
        for invocation in [first, second, shared] {
            let last = futures_util::StreamExt::collect::<Vec<_>>(invocation.events).await.pop();
            let last = last.expect("an end").expect("no error").kind;
            assert!(matches!(last, crate::compute::EventKind::Exited(_)), "{last:?}");
        }
    }
}
