//! [`DeferredReduce`]: a reduction whose inputs come later, on a backend where every job is stored before it starts.

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

/// A reduction before its inputs are there. Whoever called `map_reduce` holds the handle of this job; once the maps
/// are done a job is stored and started as every other, and what comes of it is passed on.
pub(crate) struct DeferredReduce {
    core: Arc<Core>,
    reducer: &'static Entry,
    options: JobOptions,
    seen: Arc<JobState>,
    commands: Commands,
}

impl DeferredReduce {
    /// A reduction of so many calls, checked as it will be when it is started.
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
        seen.set_known(reductions, true);
        Ok(Self { core: Arc::clone(core), reducer, options, seen: Arc::new(seen), commands })
    }

    /// The job as it is seen.
    pub(crate) fn job(&self) -> Arc<JobState> {
        Arc::clone(&self.seen)
    }

    /// Starts the reduction once its inputs are in the queue, and passes on what comes of it.
    pub(crate) fn start(
        self,
        maps: Arc<JobState>,
        gathered: impl Future<Output = Result<()>> + Send + 'static,
        queue: Arc<InputQueue>,
    ) {
        // An executor that goes waits until what is stored of the reduction is being removed.
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
            // What is stored of them may go.
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

/// Passes on the outcomes of a job until all are there.
async fn pass_on(job: &Arc<JobState>, seen: &Arc<JobState>, commands: &mut Commands) -> Result<()> {
    let mut done = 0;
    while !seen.progress().is_finished() {
        tokio::select! {
            biased;
            Some(command) = commands.recv() => match command {
                Command::Cancel => job.cancel(),
                Command::CancelCalls(..) => end(seen, command),
                // The job itself hears of it too.
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
        seen.add_logs(Logs { job: seen.id(), entries: logs });
        seen.commit(reports);
    }
    Ok(())
}

/// Ends reductions that have not begun, or are not waited for.
fn end(seen: &JobState, command: Command) {
    let (first, end, what) = match command {
        Command::CancelCalls(first, end) => (first, end, "the call was cancelled"),
        Command::Cancel | Command::Interrupt => (0, seen.progress().known, "the job was cancelled"),
    };
    let error = CallError::new(CallErrorKind::Cancelled, what).encode();
    let open = seen.read(|outcomes| outcomes.done().missing(first, end));
    seen.commit(failed_together(seen.id(), open, &error));
}
