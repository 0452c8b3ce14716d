//! [`Fleets`]: the workers on this machine that find their jobs themselves.

use std::{
    process::Child,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use lithops_core::{
    compute::{ExitReason, Scaled, WorkerEnd, WorkerProcess},
    error::{Error, ErrorKind, Result},
    process,
    protocol::{Launch, Program, Secrets},
};
use tokio::sync::watch;

/// The exit code of a worker that has stored why it cannot serve.
const EXIT_REFUSED: i32 = 88;
/// The exit code of a worker that was told to leave, or that another machine might serve better.
const EXIT_ELSEWHERE: i32 = 75;

/// After this many workers in a row that ended before they could serve, no further one is started: the cause is not one
/// worker's, and the fleet would be started for ever.
const IN_VAIN: u32 = 5;

/// What the workers of a fleet are started from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// The program that plays the worker, and the one that plays the sub-workers.
    pub(crate) runtime: &'a Program,
    pub(crate) program: &'a Program,
    pub(crate) secrets: Option<&'a Secrets>,
    /// Whether workers get the launch document alone, and no connection to this process.
    pub(crate) from_document: bool,
    /// Whether a `lithops-worker` plays the worker, and not the program.
    pub(crate) has_runtime: bool,
}

/// The workers on this machine that find their jobs themselves.
#[derive(Debug, Default)]
pub(crate) struct Fleets {
    state: Mutex<State>,
    /// How many workers of all fleets have ended.
    ends: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    workers: Vec<(String, Worker)>,
    /// Workers that have ended, whose end was not told yet.
    untold: Vec<(String, WorkerEnd)>,
    started: u64,
    /// How many workers in a row have ended before they could serve.
    in_vain: u32,
}

#[derive(Debug)]
enum Worker {
    /// A worker at the other end of a socket. It ends when its handle is dropped, as all such workers do.
    Connected(WorkerProcess),
    /// A worker that was started with its launch document alone. It ends by itself.
    Launched(Child),
}

/// What is known of a worker.
#[derive(Debug)]
enum Known {
    Lives,
    /// It has ended, and how is not known yet: it may have refused.
    Ending,
    Ended(WorkerEnd, bool),
}

impl Worker {
    /// What is known of the worker; of one that has ended also whether it never served.
    fn state(&mut self) -> Known {
        match self {
            Self::Connected(worker) => match (worker.is_alive(), worker.end_in_fleet()) {
                (true, _) => Known::Lives,
                (false, None) => Known::Ending,
                (false, Some(end)) => {
                    Known::Ended(end, matches!(worker.ended(), Some(ExitReason::NotStarted(_))))
                }
            },
            Self::Launched(child) => match child.try_wait() {
                Ok(None) => Known::Lives,
                Ok(Some(status)) => match status.code() {
                    Some(0) => Known::Ended(WorkerEnd::Finished, false),
                    // Its words are in the storage.
                    Some(EXIT_REFUSED) => Known::Ended(WorkerEnd::Refused(String::new()), true),
                    Some(EXIT_ELSEWHERE) => {
                        let words = "it was told to leave, or could not serve here".to_owned();
                        Known::Ended(WorkerEnd::Lost(words), false)
                    }
                    _ => Known::Ended(WorkerEnd::Lost(format!("its worker ended with {status}")), false),
                },
                Err(error) => Known::Ended(WorkerEnd::Lost(error.to_string()), false),
            },
        }
    }

    /// Counts the end of the worker, as soon as it is known.
    fn count_end(&self, ends: &watch::Sender<u64>) {
        let ends = ends.clone();
        let ended = match self {
            Self::Connected(worker) => worker.until_ended().boxed(),
            Self::Launched(child) => process::until_ended(child).boxed(),
        };
        tokio::spawn(async move {
            ended.await;
            ends.send_modify(|count| *count += 1);
        });
    }

    fn kill(&mut self) {
        match self {
            Self::Connected(worker) => worker.kill(),
            Self::Launched(child) => {
                // An error says that it has ended by itself meanwhile. Its sub-workers end with their channel to it.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Fleets {
    /// An item for each time that workers have ended.
    pub(crate) fn changes(&self) -> BoxStream<'static, ()> {
        let next =
            |mut ends: watch::Receiver<u64>| async move { ends.changed().await.ok().map(|()| ((), ends)) };
        stream::unfold(self.ends.subscribe(), next).boxed()
    }

    /// Starts workers of a fleet until `workers` live; returns the state of the fleet. Must be called inside a Tokio
    /// runtime that outlives the workers.
    pub(crate) fn scale(&self, launch: &Launch, workers: usize, start: Start<'_>) -> Result<Scaled> {
        let mut state = self.lock();
        let mut scaled = Scaled::default();
        if state
            .workers
            .iter()
            .any(|(_, worker)| matches!(worker, Worker::Connected(worker) if worker.has_come()))
        {
            state.in_vain = 0;
        }
        let (mut kept, mut failed) = (Vec::new(), None);
        for (name, mut worker) in std::mem::take(&mut state.workers) {
            match worker.state() {
                Known::Lives => {
                    scaled.live.push(name.clone());
                    kept.push((name, worker));
                }
                Known::Ending => kept.push((name, worker)),
                Known::Ended(end, never_served) => {
                    if never_served && let WorkerEnd::Lost(words) = &end {
                        state.in_vain += 1;
                        if state.in_vain >= IN_VAIN {
                            let problem = format!(
                                "{} workers of the fleet in a row ended as soon as they were started; of the last: {words}",
                                std::mem::take(&mut state.in_vain)
                            );
                            failed = Some(Error::new(ErrorKind::WorkerLost, problem));
                        }
                    }
                    state.untold.push((name, end));
                }
            }
        }
        state.workers = kept;
        // While others work, those that could not start are only lost.
        if let Some(error) = failed.filter(|_| scaled.live.is_empty()) {
            return Err(error);
        }
        while state.workers.len() < workers {
            state.started += 1;
            // The name is used once only, because that of the fleet is.
            let name = format!("{}-{}", launch.fleet, state.started);
            let worker = start.worker(launch.named(&name))?;
            worker.count_end(&self.ends);
            scaled.live.push(name.clone());
            state.workers.push((name, worker));
        }
        scaled.ended = std::mem::take(&mut state.untold);
        Ok(scaled)
    }

    /// Lets all workers leave once their jobs are done; `now` ends what they run.
    pub(crate) fn close(&self, now: bool) {
        let mut state = self.lock();
        if now {
            state.workers.drain(..).for_each(|(_, mut worker)| worker.kill());
        }
        // The handles are kept: a connected worker ends when its handle is dropped.
        for (_, worker) in &state.workers {
            if let Worker::Connected(worker) = worker {
                worker.let_go();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Start<'_> {
    fn worker(self, launch: Launch) -> Result<Worker> {
        if !self.from_document {
            return WorkerProcess::launch(self.runtime, self.program, launch, self.secrets)
                .map(Worker::Connected);
        }
        if self.secrets.is_some() {
            let problem = "`launch: document` cannot hand the credentials of a storage to workers";
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .with_hint("leave out `launch`, or use a storage that workers can open by themselves"));
        }
        process::launch(self.runtime, if self.has_runtime { &["pull"] } else { &[] }, &launch)
            .map(Worker::Launched)
    }
}
