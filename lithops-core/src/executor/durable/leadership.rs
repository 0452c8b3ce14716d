//! A client's part in a durable job, its [`Leadership`]: driving it while it has the lease, and reading it otherwise.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::oneshot, task::AbortHandle, time::sleep};

use super::{
    durable_job::{JobResources, Leadership},
    fleet_driver::FleetDriver,
};
use crate::{
    error::{Error, ErrorKind, Result},
    executor::{
        driver::{Assignment, Ended, commit_buffer::Durable, drive},
        job::{Command, Commands, InputQueue, JobEvent, interrupt},
    },
    journal::{BEAT, JobRecord, Journal, LEASE, Lease, LeaseWatch, Segment, Watched},
    protocol::Logs,
};

/// A client that reads a job looks for new outcomes this often at first, and less often while there are none.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// So many stored chunks are read at once.
const AT_ONCE: usize = 32;

impl Leadership {
    /// Follows the job to its end, beginning with a lease if this client has one.
    pub async fn follow(self, lease: Option<Lease>, mut commands: Commands) {
        let _at_work = interrupt::AtWork::begin();
        let reads = lease.is_none() && self.cleanup.is_some();
        let run = self.run(lease, &mut commands);
        let ran = if reads { self.reading(run).await } else { run.await };
        if let Err(error) = ran {
            self.job.fail(error);
        }
        if reads {
            // Should that fail, what is stored stays until `lithops clean`.
            let _ = self.journal.remove_reader(&self.owner).await;
        }
    }

    /// Says that this client reads the job, meanwhile.
    async fn reading<T>(&self, run: impl Future<Output = T>) -> T {
        // Should that fail, what is stored may go while this client reads, and it will say so.
        let _ = self.journal.put_reader(&self.owner).await;
        tokio::pin!(run);
        loop {
            tokio::select! {
                biased;
                ran = &mut run => return ran,
                // Whoever watches whether anybody is there does so for longer.
                () = sleep(LEASE / 2) => {}
            }
            let mark = self.journal.put_reader(&self.owner);
            tokio::pin!(mark);
            tokio::select! {
                biased;
                ran = &mut run => {
                    // A mark that is half made would come after it is removed.
                    let _ = mark.await;
                    return ran;
                }
                _ = &mut mark => {}
            }
        }
    }

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
                // What was asked while this client only read was refused.
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
                // Whoever drove it has let go after its last commit, which may have come after the last look.
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

    /// Takes in a command while this client only reads; says whether the program is being ended.
    async fn heard(&self, command: Command) -> Result<bool> {
        match command {
            // Whoever drives the job looks for this.
            Command::Cancel => self.journal.ask_to_cancel().await?,
            // It cannot be ended from here, and its handle knows.
            Command::CancelCalls(..) => {}
            Command::Interrupt => return Ok(true),
        }
        Ok(false)
    }

    fn is_finished(&self) -> bool {
        self.job.progress().done == self.record.calls
    }

    /// Makes visible what has been stored since this was last asked. Returns how many calls that are.
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
            // Before they are visible: whoever sees the outcomes sees where they come from.
            let calls = missing.iter().map(|chunk| self.record.calls_of(*chunk));
            let restored = calls.map(|(first, end)| end - first).sum();
            self.job.count(|counts| counts.restored = restored);
        }
        let bundles = stream::iter(missing)
            .map(|chunk| async move {
                let calls = self.record.calls_of(chunk);
                Ok::<_, Error>((calls, self.journal.bundle(chunk, calls).await?))
            })
            .buffer_unordered(AT_ONCE);
        bundles
            .try_for_each(|((first_call, end), bundle)| async move {
                match bundle {
                    Some(bundle) => {
                        self.job.add_logs(Logs { job: self.record.job, entries: bundle.logs });
                        self.job.commit(bundle.reports);
                    }
                    // It was damaged: its calls are run again.
                    None if first => self.job.count(|counts| counts.restored -= end - first_call),
                    None => {}
                }
                Ok(())
            })
            .await?;
        Ok(self.job.progress().done - before)
    }

    /// Drives the job for as long as this client has the lease.
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
        // Should that fail, the others wait until the lease expires.
        let _ = lease.release().await;
        Ok(ended)
    }

    /// Hands the calls over to workers.
    async fn dispatch(
        &self,
        resources: &JobResources,
        commands: &mut Commands,
        stopped: oneshot::Receiver<()>,
    ) -> Ended {
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

    /// Keeps the lease meanwhile, and asks to stop when another has taken it.
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
                // The driver is there: it listens until it ends.
                let _ = stop.send(());
                driving.await
            }
        }
    }

    /// Says that this client lives, until another has taken the lease.
    async fn keep(&self, lease: &mut Lease) {
        loop {
            match lease.beat().await {
                Ok(true) => {}
                Ok(false) => return,
                // Commits are safe without the lease: the worst is that calls are run by two clients.
                Err(error) => tracing::warn!(job = %self.record.job, %error, "cannot renew the lease"),
            }
            if let Ok(true) = self.journal.is_to_be_cancelled().await {
                self.job.cancel();
            }
            sleep(BEAT).await;
        }
    }

    /// All outcomes are there without this client's having driven the job to its end.
    async fn finish(&self, lease: Option<Lease>, watch: &mut LeaseWatch) {
        if let Some(lease) = lease {
            // Should that fail, it expires.
            let _ = lease.release().await;
        }
        self.job.tell(|| JobEvent::Finished { job: self.record.job, progress: self.job.progress() });
        if let Some(client_fleet) =
            self.resources.as_ref().ok().and_then(|resources| resources.client_fleet.as_ref())
        {
            // Should that fail, its workers find that there is nothing to do.
            let _ = client_fleet.fleet.remove(self.record.job).await;
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

async fn feed(journal: &Journal, segments: &[Segment], queue: &InputQueue) -> Result<()> {
    for (number, segment) in (0..).zip(segments) {
        if !queue.push_all(&journal.inputs(number, segment).await?).await {
            break;
        }
    }
    Ok(())
}

/// A task that ends with its owner.
struct Aborted(AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a client that has no function to run cannot drive a job.
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
