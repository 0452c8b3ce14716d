//! The loop of [`Leadership`]: a client drives a durable job while it holds the lease, and reads it
//! otherwise.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::oneshot, task::AbortHandle, time::sleep};

use super::{
    durable_job::{JobResources, Leadership},
    fleet_driver::FleetDriver,
};
use crate::{
    compute::CancelLevel,
    error::{Error, ErrorKind, Result},
    executor::{
        driver::{Assignment, Ended, commit_buffer::Durable, drive},
        job::{Command, Commands, InputQueue, JobEvent, interrupt},
    },
    journal::{BEAT, JobRecord, Journal, LEASE, Lease, LeaseWatch, Segment, Watched},
    protocol::Logs,
};

/// A client that reads a job looks for new outcomes this often at first; the interval doubles while there are
/// none.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// The longest interval between two looks. A longer one would delay outcomes and the takeover of a free
/// lease.
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// At most this many stored chunks are read at once.
const AT_ONCE: usize = 32;

impl Leadership {
    /// Follows the job to its end. A client that has just stored the job passes its `lease`, and drives at
    /// once.
    pub async fn follow(self, lease: Option<Lease>, mut commands: Commands) {
        let _at_work = interrupt::AtWork::begin();
        let reads = lease.is_none() && self.cleanup.is_some();
        let run = self.run(lease, &mut commands);
        let ran = if reads { self.reading(run).await } else { run.await };
        if let Err(error) = ran {
            self.job.fail(error);
        }
        if reads {
            // If this fails, the stored data stays until `lithops clean` removes it.
            let _ = self.journal.remove_reader(&self.owner).await;
        }
    }

    /// Reads the job to its end, for a command that has no handle of it. The last reader removes the stored data
    /// if the client that drove the job has left that to its readers.
    pub(crate) async fn watch(self, mut commands: Commands) {
        let ran = self.reading(self.run(None, &mut commands)).await;
        // If this fails, the stored data stays until `lithops clean` removes it.
        let _ = self.journal.remove_reader(&self.owner).await;
        match ran {
            Ok(()) => drop(self.journal.remove_if_left().await),
            Err(error) => self.job.fail(error),
        }
    }

    /// Keeps this client's reader mark fresh while `run` runs, so that the job's stored data is not removed.
    async fn reading<T>(&self, run: impl Future<Output = T>) -> T {
        // If this fails, the stored data may be removed while this client reads; the reader then gets an
        // error.
        let _ = self.journal.put_reader(&self.owner).await;
        tokio::pin!(run);
        loop {
            tokio::select! {
                biased;
                ran = &mut run => return ran,
                // Half a lease: `lithops clean` watches for longer than that before it removes anything.
                () = sleep(LEASE / 2) => {}
            }
            let mark = self.journal.put_reader(&self.owner);
            tokio::pin!(mark);
            tokio::select! {
                biased;
                ran = &mut run => {
                    // The mark is completed first: a put that ended after the removal would leave the mark
                    // behind.
                    let _ = mark.await;
                    return ran;
                }
                _ = &mut mark => {}
            }
        }
    }

    /// Reads, takes the lease when it is free, and drives, in turn, until the job is finished.
    async fn run(&self, mut lease: Option<Lease>, commands: &mut Commands) -> Result<()> {
        let mut watch = LeaseWatch::default();
        let mut pause = FIRST_LOOK;
        let mut first = true;
        loop {
            let fresh = self.catch_up(std::mem::take(&mut first)).await?;
            if self.is_finished() {
                self.finish(lease, &mut watch).await;
                return Ok(());
            }
            if let Some(lease) = lease.take() {
                // Commands that came while this client only read are handled as a reader does: single calls
                // cannot be cancelled.
                while self.job.progress().reading
                    && let Ok(command) = commands.try_recv()
                {
                    if self.heard(command).await? {
                        return Ok(());
                    }
                }
                self.job.set_reading(false);
                match self.drive(lease, commands).await? {
                    Ended::Finished => {
                        if self.job.is_cancelled() {
                            // If this fails, the job is listed as finished rather than as cancelled.
                            let _ = self.journal.ask_to_cancel().await;
                        }
                        self.may_go();
                        return Ok(());
                    }
                    Ended::Failed => return Ok(()),
                    Ended::Stopped if self.job.is_interrupted() => return Ok(()),
                    Ended::Stopped => continue,
                }
            }
            self.job.set_reading(true);
            if let Watched::Free { epoch } = watch.look(&self.journal).await? {
                // The former driver has released the lease after its last commit, which may be newer than the
                // last look.
                self.catch_up(false).await?;
                if self.is_finished() {
                    continue;
                }
                let resources = self.resources.as_ref().map_err(Error::again);
                resources?;
                lease = Lease::take(&self.journal, epoch + 1, &self.owner).await?;
                continue;
            }
            pause = if fresh > 0 { FIRST_LOOK } else { (pause * 2).min(LONGEST_LOOK) };
            tokio::select! {
                biased;
                () = sleep(pause) => {}
                Some(command) = commands.recv() => if self.heard(command).await? {
                    return Ok(());
                },
            }
        }
    }

    /// Handles a command while this client only reads. Returns whether the program is being ended.
    async fn heard(&self, command: Command) -> Result<bool> {
        match command {
            // The client that drives the job looks for this mark at each heartbeat.
            Command::Cancel => self.journal.ask_to_cancel().await?,
            // Only the driver can cancel single calls; the handle returns an error.
            Command::CancelCalls(..) => {}
            Command::Interrupt => return Ok(true),
        }
        Ok(false)
    }

    fn is_finished(&self) -> bool {
        self.job.progress().done == self.record.calls
    }

    /// Makes outcomes visible that were stored since the last time. Returns the number of their calls. With
    /// `first`, they count as restored.
    async fn catch_up(&self, first: bool) -> Result<u64> {
        let before = self.job.progress().done;
        let committed = self.journal.committed().await?;
        let missing: Vec<u64> = self.job.read(|outcomes| {
            let fresh = |chunk: &u64| {
                let (first, end) = self.record.calls_of(*chunk);
                first < end && !outcomes.done().contains(first)
            };
            committed.into_iter().filter(fresh).collect()
        });
        if first {
            // The count comes before the outcomes, so that progress never shows outcomes without their
            // origin.
            let calls = missing.iter().map(|chunk| self.record.calls_of(*chunk));
            let restored = calls.map(|(first, end)| end - first).sum();
            self.job.count(|counts| counts.restored = restored);
        }
        let bundles = stream::iter(missing)
            .map(|chunk| async move {
                let calls = self.record.calls_of(chunk);
                Ok::<_, Error>((calls, self.journal.bundle(chunk, calls).await?))
            })
            // In the order of the calls, so that what they have printed is shown in this order too.
            .buffered(AT_ONCE);
        bundles
            .try_for_each(|((first_call, end), bundle)| async move {
                match bundle {
                    Some(bundle) => {
                        self.job.add_logs(Logs { job: self.record.job, entries: bundle.logs }, None);
                        self.job.commit(bundle.reports);
                    }
                    // The chunk was damaged: its calls are run again.
                    None if first => self.job.count(|counts| counts.restored -= end - first_call),
                    None => {}
                }
                Ok(())
            })
            .await?;
        Ok(self.job.progress().done - before)
    }

    /// Drives the job for as long as this client holds the lease.
    async fn drive(&self, mut lease: Lease, commands: &mut Commands) -> Result<Ended> {
        let resources = self.resources.as_ref().map_err(Error::again)?;
        let (stop, mut stopped) = oneshot::channel();
        let ended = match &resources.client_fleet {
            Some(client_fleet) => {
                let fleet_driver = FleetDriver::new(self, resources, client_fleet);
                self.until_taken(&mut lease, stop, fleet_driver.gather(commands, &mut stopped)).await
            }
            None => self.until_taken(&mut lease, stop, self.dispatch(resources, commands, stopped)).await,
        };
        // If this fails, other clients wait until the lease expires.
        let _ = lease.release().await;
        Ok(ended)
    }

    /// Drives the job on a backend to which the client sends the calls.
    async fn dispatch(
        &self,
        resources: &JobResources,
        commands: &mut Commands,
        stopped: oneshot::Receiver<()>,
    ) -> Ended {
        if resources.backend.capabilities().cancel == CancelLevel::None
            && let Err(error) = self.journal.remove_stop().await
        {
            tracing::warn!(job = %self.record.job, %error, "workers may still be told to end what they run");
        }
        let queue = Arc::new(InputQueue::default());
        let (journal, segments, fed) =
            (self.journal.clone(), self.record.segments.clone(), Arc::clone(&queue));
        let feeder = tokio::spawn(async move { fed.end(feed(&journal, &segments, &fed).await.err()) });
        let _feeder = Aborted(feeder.abort_handle());
        let assignment = Assignment {
            job: Arc::clone(&self.job),
            spec: Arc::clone(&resources.spec),
            backend: Arc::clone(&resources.backend),
            queue,
            policy: self.record.policy,
            retry_if: None,
            speculate: resources.speculate,
            plan: resources.plan.clone(),
            durable: Some(Durable {
                journal: Arc::new(self.journal.clone()),
                calls: self.record.calls,
                restored: self.job.read(|outcomes| outcomes.done().clone()),
            }),
            payload_store: resources.payload_store.clone(),
            learn: resources.learn.clone(),
            stop: Some(stopped),
        };
        drive(assignment, commands).await
    }

    /// Runs `driving` while heartbeats keep the lease. When another client has taken the lease, `driving` is
    /// told to stop.
    async fn until_taken(
        &self,
        lease: &mut Lease,
        stop: oneshot::Sender<()>,
        driving: impl Future<Output = Ended>,
    ) -> Ended {
        tokio::pin!(driving);
        tokio::select! {
            biased;
            ended = &mut driving => ended,
            () = self.keep(lease) => {
                // The driver holds the receiver until it ends, so the message cannot get lost.
                let _ = stop.send(());
                driving.await
            }
        }
    }

    /// Sends heartbeats until another client has taken the lease, and looks for requests to cancel the job.
    async fn keep(&self, lease: &mut Lease) {
        loop {
            match lease.beat().await {
                Ok(true) => {}
                Ok(false) => return,
                // Commits are safe without the lease: at worst, two clients run the same calls.
                Err(error) => tracing::warn!(job = %self.record.job, %error, "cannot renew the lease"),
            }
            if let Ok(true) = self.journal.is_to_be_cancelled().await {
                self.job.cancel();
            }
            sleep(BEAT).await;
        }
    }

    /// Ends the leadership when all outcomes are there, although this client did not drive the job to its
    /// end.
    async fn finish(&self, lease: Option<Lease>, watch: &mut LeaseWatch) {
        if let Some(lease) = lease {
            // If this fails, the lease expires.
            let _ = lease.release().await;
        }
        self.job.tell(|| JobEvent::Finished { job: self.record.job, progress: self.job.progress() });
        if let Some(client_fleet) =
            self.resources.as_ref().ok().and_then(|resources| resources.client_fleet.as_ref())
        {
            // If this fails, the fleet's workers find no open chunk in the job.
            let _ = client_fleet.remove(self.record.job).await;
        }
        if let Ok(Watched::Free { .. }) = watch.look(&self.journal).await {
            self.may_go();
        }
    }

    fn may_go(&self) {
        if let Some(cleanup) = &self.cleanup {
            cleanup.may_go();
        }
    }
}

/// Reads the stored inputs, segment by segment, into the driver's queue.
async fn feed(journal: &Journal, segments: &[Segment], queue: &InputQueue) -> Result<()> {
    for (number, segment) in (0..).zip(segments) {
        if !queue.push_all(&journal.inputs(number, segment).await?).await {
            break;
        }
    }
    Ok(())
}

/// A guard that aborts a task when it is dropped.
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The error of a client that cannot drive a job, because it does not have the job's function.
#[must_use]
pub fn only_reads(record: &JobRecord) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("nobody drives job {}, and this handle can only read it", record.job),
    )
    .with_hint(format!(
        "`fexec.attach::<R>(\"{}\".parse()?)` in the program that has `{}`",
        record.job, record.function_name
    ))
}
