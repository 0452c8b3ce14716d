//! [`DeferredReduce`]: a reduction that is stored once its inputs are there, on backends where every job is
//! durable.

use std::sync::Arc;

use crate::{
    error::{CallError, CallErrorKind, Error, Result},
    executor::{
        api::options::JobOptions,
        core::Core,
        job::{Command, Commands, InputQueue, JobState},
    },
    function::Entry,
    protocol::{Logs, failed_together},
    runtime,
};

/// A reduction whose inputs are not there yet. The caller of `map_reduce` holds the handle of the job `seen`.
/// Once the maps are done, a second job is stored and started as usual, and its outcomes are passed on to
/// `seen`.
pub(crate) struct DeferredReduce {
    core: Arc<Core>,
    reducer: &'static Entry,
    options: JobOptions,
    seen: Arc<JobState>,
    commands: Commands,
}

impl DeferredReduce {
    /// A deferred reduction of `reductions` calls. The options are checked now, so that a wrong one is found
    /// before the maps run.
    pub(crate) fn new(
        core: &Arc<Core>,
        reducer: &'static Entry,
        options: JobOptions,
        reductions: u64,
    ) -> Result<Self> {
        let prepared = core.prepare(reducer, &options, Some(reductions), None)?;
        core.check_durable(reducer, &prepared)?;
        let plan = prepared.plan;
        let id = crate::id::JobId::generate();
        let (seen, commands) = JobState::new(id, reducer.display_name(), plan, Some(reductions));
        let seen = seen.shown(core.progress).shows_logs(options.show_logs.unwrap_or(core.show_logs));
        seen.set_known(reductions, true);
        Ok(Self { core: Arc::clone(core), reducer, options, seen: Arc::new(seen), commands })
    }

    /// The state of the job whose handle the caller holds.
    pub(crate) fn job(&self) -> Arc<JobState> {
        Arc::clone(&self.seen)
    }

    /// Waits until `gathered` has put the inputs into `queue`, starts the reduction, and passes on its
    /// outcomes.
    pub(crate) fn start(
        self,
        maps: Arc<JobState>,
        gathered: impl Future<Output = Result<()>> + Send + 'static,
        queue: Arc<InputQueue>,
    ) {
        // A dropped executor waits for this guard, until the removal of the reduction's stored data has
        // begun.
        let followed = self.core.pending.follow(&self.seen);
        runtime::driver().spawn(async move {
            let Self { core, reducer, options, seen, mut commands } = self;
            let known = seen.progress().known;
            let ended = async {
                gathered.await?;
                queue.end(None);
                let job = core.start_durable(reducer, options, Vec::new(), Some(known), queue).await?;
                Ok::<_, Error>(job)
            };
            tokio::pin!(ended);
            let job = loop {
                tokio::select! {
                    biased;
                    Some(command) = commands.recv() => {
                        if let Command::Interrupt = command {
                            return;
                        }
                        end(&seen, command);
                        if seen.progress().is_finished() {
                            maps.cancel();
                            return;
                        }
                    }
                    job = &mut ended => break job,
                }
            };
            // The last handle of the maps: their stored data is removed.
            drop(maps);
            let passed_on = match job {
                Ok(job) => pass_on(&job, &seen, &mut commands).await,
                Err(error) => Err(error),
            };
            if let Err(error) = passed_on {
                seen.fail(error);
            }
            drop(followed);
        });
    }
}

/// Copies the outcomes and logs of `job` to `seen` until every call of `seen` has an outcome.
async fn pass_on(job: &Arc<JobState>, seen: &Arc<JobState>, commands: &mut Commands) -> Result<()> {
    let mut done = 0;
    while !seen.progress().is_finished() {
        tokio::select! {
            biased;
            Some(command) = commands.recv() => match command {
                Command::Cancel => job.cancel(),
                Command::CancelCalls(..) => end(seen, command),
                // The interruption ends the job itself too.
                Command::Interrupt => return Ok(()),
            },
            more = job.wait_for(|_, progress| progress.done > done) => more?,
        }
        done = job.progress().done;
        let (logs, reports) = job.read(|outcomes| {
            let fresh = |call: &u64| seen.read(|seen| !seen.done().contains(*call));
            let calls: Vec<u64> =
                outcomes.done().iter().flat_map(|(first, end)| first..end).filter(fresh).collect();
            let logs: Vec<_> = calls.iter().filter_map(|call| outcomes.log(*call).cloned()).collect();
            let one = |call: &u64| {
                let (report, index) = outcomes.get(*call)?;
                Some(report.slice(u32::try_from(index).ok()?, 1))
            };
            (logs, calls.iter().filter_map(one).collect::<Vec<_>>())
        });
        seen.add_logs(Logs { job: seen.id(), entries: logs }, None);
        seen.commit(reports);
    }
    Ok(())
}

/// Commits the calls of a cancel command in `seen` as cancelled, if they have no outcome.
fn end(seen: &JobState, command: Command) {
    let (first, end, what) = match command {
        Command::CancelCalls(first, end) => (first, end, "the call was cancelled"),
        Command::Cancel | Command::Interrupt => (0, seen.progress().known, "the job was cancelled"),
    };
    let error = CallError::new(CallErrorKind::Cancelled, what).encode();
    let open = seen.read(|outcomes| outcomes.done().missing(first, end));
    seen.commit(failed_together(seen.id(), open, &error));
}
