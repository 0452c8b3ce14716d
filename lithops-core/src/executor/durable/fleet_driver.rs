//! [`FleetDriver`]: a client's part in a job whose chunks the workers of a fleet fetch themselves.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    stream::{self, BoxStream, FuturesUnordered},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::durable_job::{JobResources, Leadership};
use crate::{
    board::{BoardAnswer, BoardClient, ClientAction, LeaseConfig},
    compute::{Scaled, WaitingWorkers, WorkerEnd},
    error::{Error, ErrorKind, Result},
    executor::{
        driver::{Ended, throttle::Throttle},
        job::{Command, Commands, JobEvent, Measured, Spending},
    },
    fleet::{ClientFleet, GIVEN_UP, JobManifest, StoredBoard},
    journal::{ChunkOutcomes, Waiting},
    protocol::{JobSpec, Logs, ProgramId},
    storage::may_succeed_later,
};

/// At most this many commits are read at once.
const AT_ONCE: usize = 32;
/// The platform is asked this often to keep the workers at their number, or at each heartbeat if that is
/// shorter.
const SCALED_EVERY: Duration = Duration::from_secs(1);
/// The job fails when more workers than the calls of a chunk can have killed, and this many more, have ended
/// in a row without a commit: a fleet that makes no progress must not start workers without end.
const FALSE_STARTS: u64 = 16;

/// What the workers cost is told this often, where they are the same.
const SPENDING_EVERY: Duration = Duration::from_secs(10);

/// A removed manifest is put again at most this many times without a commit in between. After that the job
/// fails: another program removes the manifests on purpose.
const PUT_AGAIN: u32 = 20;

/// The result of a check whether the job's objects are still in the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Everything that the workers need is there.
    All,
    /// The manifest says now that the job is detached.
    Detached,
    /// The job's manifest is gone.
    NoManifest,
    /// The job's stored data is gone.
    NoRecord,
}

/// The number of a chunk whose commit was read, and its outcomes; `None` if the commit is damaged.
type Read = (u64, Option<ChunkOutcomes>);

/// A client's part in a job whose chunks the workers of a fleet fetch themselves. The client puts the job's
/// manifest, requests as many workers as are needed, and makes committed outcomes visible. The workers share
/// the chunks among themselves.
pub(crate) struct FleetDriver<'a> {
    leadership: &'a Leadership,
    resources: &'a JobResources,
    client_fleet: &'a std::sync::Arc<ClientFleet>,
    board: BoardClient,
    /// The lease and the related times of the job's board.
    lease_config: LeaseConfig,
    /// The program that the workers fetch; `None` where they are the program.
    program: Option<ProgramId>,
    /// Whether the manifest says that the job is detached.
    told_detached: bool,
    begun: Instant,
    /// The chunks whose commits were seen on the board, and were not read yet.
    unread: VecDeque<u64>,
    reading: FuturesUnordered<BoxFuture<'a, Result<Read>>>,
    /// The board's requests to the storage that are under way, each with its lane.
    asking: FuturesUnordered<BoxFuture<'a, (usize, Result<BoardAnswer>)>>,
    /// The present request to the platform, which returns the state of the fleet.
    scaling: Fuse<BoxFuture<'a, Result<Scaled>>>,
    next_scaling: Duration,
    /// What the platform tells of ended workers by itself, and until when it must not be asked all the same.
    changes: BoxStream<'static, ()>,
    scaling_pauses: Duration,
    /// Sets the pauses after failed requests for workers, and gives the platform up after too long.
    throttle: Throttle,
    /// The number of commits of the fleet when a request for workers last failed.
    commits_at_failure: u64,
    /// The present check of the job's objects, or the present put of a removed manifest.
    keeping: Fuse<BoxFuture<'a, Result<Kept>>>,
    next_keeping: Duration,
    /// Since when these checks have failed; `None` after a success.
    unkept_since: Option<Duration>,
    /// How often the manifest was put again without a commit in between, and the number of commits at the
    /// last put.
    put_again: (u32, u64),
    /// All workers that were started, by name, with their number; and how many of them before the last
    /// commit.
    workers: BTreeMap<String, u64>,
    /// What workers wait for that the platform cannot start for now.
    waits_for: Waiting,
    /// What of it was stored for other programs, and the present put.
    stored_waiting: Waiting,
    storing_waiting: Fuse<BoxFuture<'a, Result<()>>>,
    started_before: u64,
    /// What was said last of the workers' cost, and when.
    told_spending: (Spending, Duration),
    /// The number of commits of the fleet when workers were last counted.
    commits: u64,
    measured: Measured,
}

impl<'a> FleetDriver<'a> {
    pub(crate) fn new(
        leadership: &'a Leadership,
        resources: &'a JobResources,
        client_fleet: &'a std::sync::Arc<ClientFleet>,
    ) -> Self {
        let record = &leadership.record;
        let chunks = crate::board::Chunks::new(record.calls, record.chunksize);
        let workers = record.chunks().min(resources.plan.max_workers() as u64);
        let lease_config = client_fleet.lease_config.for_workers(workers);
        Self {
            leadership,
            resources,
            client_fleet,
            board: BoardClient::new(&leadership.owner.name, chunks, lease_config),
            lease_config,
            program: None,
            told_detached: false,
            begun: Instant::now(),
            unread: VecDeque::new(),
            reading: FuturesUnordered::new(),
            asking: FuturesUnordered::new(),
            scaling: Fuse::terminated(),
            next_scaling: Duration::ZERO,
            changes: resources.backend.fleet_changes(&client_fleet.launch).chain(stream::pending()).boxed(),
            scaling_pauses: Duration::ZERO,
            throttle: Throttle::new(resources.plan.max_workers()),
            commits_at_failure: client_fleet.commits(),
            keeping: Fuse::terminated(),
            next_keeping: client_fleet.lease_config.beat,
            unkept_since: None,
            put_again: (0, 0),
            workers: BTreeMap::new(),
            waits_for: Waiting::default(),
            stored_waiting: Waiting::default(),
            storing_waiting: Fuse::terminated(),
            started_before: 0,
            told_spending: Default::default(),
            commits: 0,
            measured: Measured::default(),
        }
    }

    /// Runs until every call has an outcome, the job fails, or the driver is told to stop.
    pub(crate) async fn gather(mut self, commands: &mut Commands, stop: &mut oneshot::Receiver<()>) -> Ended {
        let (job, id) = (&self.leadership.job, self.leadership.record.job);
        let ended = self.run(commands, stop).await.unwrap_or_else(|error| {
            tracing::warn!(job = %id, %error, "the job cannot go on");
            job.fail(error);
            Ended::Failed
        });
        // A request to the platform that nothing drives any more would hold what the end of the fleet needs.
        self.scaling = Fuse::terminated();
        job.workers_stay();
        self.tell_spending(Duration::ZERO);
        self.client_fleet.needs_no_more(id);
        // The manifest stays only where the job goes on: another client has taken it over, or it was
        // detached.
        if (ended != Ended::Stopped || job.is_interrupted() && !job.is_detached())
            && let Err(error) = self.client_fleet.remove(id).await
        {
            tracing::warn!(job = %id, %error, "cannot take the job's manifest away: its workers look for it in vain");
        }
        if ended == Ended::Stopped
            && self.is_newly_detached()
            && let Err(error) = self.client_fleet.put(&self.manifest()).await
        {
            tracing::warn!(job = %id, %error, "cannot tell the job's workers that it is detached");
        }
        // The program is about to end. Workers elsewhere must not wait until it has been silent for long enough.
        if job.is_interrupted()
            && let Err(error) = self.client_fleet.end_at(&*self.resources.backend).await
        {
            tracing::warn!(%error, "cannot close the fleet: its workers end when this client has been silent for long");
        }
        if ended == Ended::Finished {
            if let Some(learn) = &self.resources.learn {
                learn.from(self.measured);
            }
            job.tell(|| JobEvent::Finished { job: id, progress: job.progress() });
        }
        ended
    }

    async fn run(&mut self, commands: &mut Commands, stop: &mut oneshot::Receiver<()>) -> Result<Ended> {
        let Leadership { record, journal, job, .. } = self.leadership;
        job.set_known(record.calls, true);
        job.handed_over(record.chunks());
        let chunks = crate::board::Chunks::new(record.calls, record.chunksize);
        let board = StoredBoard::new(&self.client_fleet.storage, journal, chunks);
        let board = std::sync::Arc::new(board);
        self.program = self.resources.backend.fleet_program().await?;
        let is_detached = job.is_detached();
        self.client_fleet.put(&self.manifest()).await?;
        self.told_detached = is_detached;
        loop {
            self.read();
            self.scale();
            self.keep();
            self.store_waiting();
            let alarm = match self.board.poll(self.now()) {
                ClientAction::Ask(lane, request) => {
                    let board = std::sync::Arc::clone(&board);
                    self.asking.push(async move { (lane, board.perform(request).await) }.boxed());
                    continue;
                }
                ClientAction::Done if self.unread.is_empty() && self.reading.is_empty() => {
                    return Ok(Ended::Finished);
                }
                ClientAction::Done => None,
                ClientAction::Wait(until) => {
                    let scaling = Some(self.next_scaling)
                        .filter(|due| *due < Duration::MAX && self.scaling.is_terminated());
                    let keeping = Some(self.next_keeping)
                        .filter(|_| self.keeping.is_terminated() && !self.board.is_finished());
                    [until, scaling, keeping].into_iter().flatten().min().map(|due| self.begun + due)
                }
            };
            tokio::select! {
                biased;
                Some(command) = commands.recv() => match command {
                    Command::Cancel => self.board.cancel(),
                    // Workers of a fleet claim whole chunks, which the client cannot take back call by call.
                    Command::CancelCalls(first, end) => {
                        tracing::warn!(first, end, "single calls of a fleet's job cannot be cancelled");
                    }
                    Command::Interrupt => return Ok(Ended::Stopped),
                },
                _ = &mut *stop => return Ok(Ended::Stopped),
                Some(read) = self.reading.next(), if !self.reading.is_empty() => match read? {
                    (_, Some(bundle)) => self.make_visible(bundle),
                    (chunk, None) => self.reopen(chunk),
                },
                Some((lane, answer)) = self.asking.next(), if !self.asking.is_empty() => {
                    let now = self.now();
                    self.board.answered(lane, answer?, now);
                }
                scaled = &mut self.scaling => match scaled {
                    Ok(scaled) => self.scaled(scaled).await?,
                    Err(error) => self.not_scaled(error)?,
                },
                Some(()) = self.changes.next() => self.scale_soon(),
                kept = &mut self.keeping => self.kept(kept)?,
                // If this fails, only `lithops job status` does not say why the job waits.
                _ = &mut self.storing_waiting => {}
                () = sleep_until(alarm.unwrap_or(self.begun)), if alarm.is_some() => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The job's manifest, from which the fleet learns everything about the job. `durable` is `None` because
    /// outcomes are committed on the board only.
    fn manifest(&self) -> JobManifest {
        let record = &self.leadership.record;
        let spec = JobSpec { durable: None, ..(*self.resources.spec).clone() };
        let calls = (record.calls, record.chunksize);
        let (lease_config, segments) = (self.lease_config, record.segments.clone());
        let running = (self.leadership.job.is_detached(), self.program.clone());
        JobManifest::new(spec, calls, segments, record.policy, lease_config, running)
    }

    /// Whether the job was detached after its manifest was put.
    fn is_newly_detached(&self) -> bool {
        self.leadership.job.is_detached() && !self.told_detached
    }

    /// Checks at each heartbeat that the job's record and manifest are still there. Other programs can remove
    /// them, and the workers would then stop without an error.
    fn keep(&mut self) {
        let now = self.now();
        if now < self.next_keeping || !self.keeping.is_terminated() || self.board.is_finished() {
            return;
        }
        self.next_keeping = now + self.client_fleet.lease_config.beat;
        if self.is_newly_detached() {
            let (fleet, manifest) = (self.client_fleet, self.manifest());
            self.keeping = async move { fleet.put(&manifest).await.map(|()| Kept::Detached) }.boxed().fuse();
            return;
        }
        let (fleet, journal, id) =
            (&self.client_fleet.fleet, &self.leadership.journal, self.leadership.record.job);
        let look = async move {
            if !journal.has_record().await? {
                return Ok(Kept::NoRecord);
            }
            Ok(if fleet.has(id).await? { Kept::All } else { Kept::NoManifest })
        };
        self.keeping = look.boxed().fuse();
    }

    /// Stores what workers wait for, for programs that only look at the job, whenever it has changed.
    fn store_waiting(&mut self) {
        if self.storing_waiting.is_terminated() && self.waits_for != self.stored_waiting {
            self.stored_waiting = self.waits_for.clone();
            let (journal, waiting) = (&self.leadership.journal, self.waits_for.clone());
            self.storing_waiting = async move { journal.put_waiting(&waiting).await }.boxed().fuse();
        }
    }

    /// Handles the result of a check: a removed manifest is put again, and a removed job ends with an error.
    fn kept(&mut self, kept: Result<Kept>) -> Result<()> {
        let id = self.leadership.record.job;
        let now = self.now();
        let failing_since = if kept.is_err() { Some(self.unkept_since.unwrap_or(now)) } else { None };
        self.unkept_since = failing_since;
        match kept {
            Ok(Kept::All) => {}
            Ok(Kept::Detached) => self.told_detached = true,
            Err(error)
                if may_succeed_later(&error) && failing_since.is_some_and(|since| now < since + GIVEN_UP) =>
            {
                tracing::warn!(job = %id, %error, "cannot look after the job's manifest");
            }
            Err(error) => return Err(error),
            Ok(_) if self.board.is_finished() => {}
            Ok(Kept::NoRecord) => {
                let problem = format!("what is stored of job {id} was removed while it ran");
                return Err(Error::new(ErrorKind::NotDurable, problem)
                    .with_hint("somebody else can write to this storage; start the job again"));
            }
            Ok(Kept::NoManifest) => {
                let commits = self.client_fleet.commits();
                let (times, before) = self.put_again;
                let times = if commits > before { 1 } else { times + 1 };
                self.put_again = (times, commits);
                if times > PUT_AGAIN {
                    let problem = format!(
                        "the manifest of job {id} was removed {times} times while the fleet committed nothing"
                    );
                    return Err(Error::new(ErrorKind::WorkerLost, problem)
                        .with_hint("something else removes objects below `lithops.fleets/`"));
                }
                tracing::warn!(job = %id, "somebody has removed the job's manifest: it is put again");
                let (fleet, manifest) = (self.client_fleet, self.manifest());
                self.keeping = async move { fleet.put(&manifest).await.map(|()| Kept::All) }.boxed().fuse();
            }
        }
        Ok(())
    }

    /// Starts to read commits that are not visible yet.
    fn read(&mut self) {
        let Leadership { record, journal, job, .. } = self.leadership;
        while let Some(chunk) = self.board.take_committed() {
            if job.read(|outcomes| !outcomes.done().contains(record.calls_of(chunk).0)) {
                self.unread.push_back(chunk);
            }
            self.client_fleet.committed();
        }
        while self.reading.len() < AT_ONCE
            && let Some(chunk) = self.unread.pop_front()
        {
            let read = async move { Ok((chunk, journal.bundle(chunk, record.calls_of(chunk)).await?)) };
            self.reading.push(read.boxed());
        }
    }

    /// Opens a chunk again whose commit is damaged, so that a worker runs it again.
    fn reopen(&mut self, chunk: u64) {
        let now = self.now();
        self.board.reopened(chunk, now);
        self.next_scaling = now;
    }

    /// Makes the outcomes of a committed chunk visible, and measures them.
    fn make_visible(&mut self, bundle: ChunkOutcomes) {
        let job = &self.leadership.job;
        bundle.reports.iter().for_each(|report| self.measured.add(report));
        job.add_logs(Logs { job: self.leadership.record.job, entries: bundle.logs }, None);
        job.commit(bundle.reports);
    }

    /// Requests one live worker per open chunk of all the fleet's jobs, up to the plan's maximum. The request
    /// is repeated regularly: a worker that has ended is replaced as soon as the platform knows, and workers
    /// that cannot work are noticed.
    fn scale(&mut self) {
        let now = self.now();
        if self.board.is_finished() || self.board.is_cancelled() {
            self.next_scaling = Duration::MAX;
        }
        if now < self.next_scaling || !self.scaling.is_terminated() {
            return;
        }
        self.next_scaling = now + self.client_fleet.lease_config.beat.min(SCALED_EVERY);
        let needed = self.client_fleet.needs(self.leadership.record.job, self.board.open());
        let workers = usize::try_from(needed).unwrap_or(usize::MAX).min(self.resources.plan.max_workers());
        let (backend, launch) = (&self.resources.backend, &self.client_fleet.launch);
        self.scaling = async move { backend.scale(launch, workers).await }.boxed().fuse();
    }

    /// Lets the platform be asked at once, because a worker has ended: its calls must not wait for the next regular
    /// request. Where many workers have come and gone without a commit the regular requests must do, so that workers
    /// that only end are not started without a pause.
    fn scale_soon(&mut self) {
        let most = self.resources.plan.max_workers() as u64;
        if self.next_scaling < Duration::MAX && self.in_vain() <= most.saturating_mul(2) {
            self.next_scaling = self.next_scaling.min(self.now().max(self.scaling_pauses));
        }
    }

    /// How many workers were started since the last commit of the fleet.
    fn in_vain(&self) -> u64 {
        self.workers.len() as u64 - self.started_before
    }

    /// Handles a failed request for workers. Where a retry may help, the request is repeated with growing
    /// pauses, while live workers go on.
    fn not_scaled(&mut self, error: Error) -> Result<()> {
        if !may_succeed_later(&error) {
            return Err(error);
        }
        let (id, commits) = (self.leadership.record.job, self.client_fleet.commits());
        if std::mem::replace(&mut self.commits_at_failure, commits) != commits {
            self.throttle.works();
        }
        // The job's id seeds the jitter, so that clients that were refused together do not come back
        // together.
        let [.., a, b, c, d, e, f, g, h] = id.to_bytes();
        let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        self.throttle.refused(self.workers.len(), Duration::ZERO, seed);
        if error.kind() != ErrorKind::RateLimited {
            self.throttle.still_hopes(&error.to_string())?;
        }
        let pause_ends = self.throttle.until().map(|until| until.saturating_duration_since(self.begun));
        self.scaling_pauses = pause_ends.unwrap_or_default();
        self.next_scaling = self.next_scaling.max(self.scaling_pauses);
        tracing::warn!(job = %id, %error, "the platform starts no workers for now");
        self.leadership.job.count(|counts| counts.throttled += 1);
        self.leadership.job.tell(|| JobEvent::Throttled { job: id });
        Ok(())
    }

    /// Notes the state of the fleet. Returns an error if its workers cannot serve, or too many have ended without
    /// a commit.
    async fn scaled(&mut self, scaled: Scaled) -> Result<()> {
        self.throttle.accepted();
        let Scaled { live, coming: _, waiting, ended, retry_after, hour_usd } = scaled;
        if let Some(pause) = retry_after {
            self.scaling_pauses = self.now() + pause;
            self.next_scaling = self.next_scaling.max(self.scaling_pauses);
        }
        let names: BTreeSet<String> = live.iter().cloned().collect();
        for name in live {
            let number = self.workers.len() as u64;
            if let Entry::Vacant(new) = self.workers.entry(name) {
                tracing::debug!(worker = new.key(), "a worker of the fleet lives");
                new.insert(number);
                self.leadership.job.worker_began(number);
            }
        }
        // Ends are told once, to the job that asked; for the other jobs of the fleet it is enough that a worker is gone.
        for (_, number) in self.workers.iter().filter(|(name, _)| !names.contains(*name)) {
            self.leadership.job.worker_ended(*number, true);
        }
        for (name, usd) in hour_usd {
            if let Some(number) = self.workers.get(&name) {
                self.leadership.job.worker_costs(*number, usd);
            }
        }
        for (name, end) in ended {
            self.ended(&name, end).await?;
        }
        self.tell_spending(SPENDING_EVERY);
        self.waiting(&waiting)?;
        // The fleet's workers also serve its other jobs, so that commits of any job count as progress.
        let commits = self.client_fleet.commits();
        if std::mem::replace(&mut self.commits, commits) != commits {
            self.started_before = self.workers.len() as u64;
        }
        let record = &self.leadership.record;
        let in_vain = self.in_vain();
        let fair = record.chunksize.saturating_mul(u64::from(record.policy.losses) + 1);
        let most = self.resources.plan.max_workers() as u64;
        if in_vain <= fair.saturating_add(most.saturating_mul(2)).saturating_add(FALSE_STARTS) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WorkerLost,
            format!("{in_vain} workers were started in a row and ended before any of them committed a chunk"),
        )
        .with_hint("something ends them from outside: is there too little memory, or a limit of processes?"))
    }

    /// Says what the workers cost, when there are others than before, or this much later.
    fn tell_spending(&mut self, later: Duration) {
        let job = &self.leadership.job;
        let (now, spending) = (self.begun.elapsed(), job.spending());
        let (told, at) = self.told_spending;
        let is_other = (told.workers, told.hour_usd) != (spending.workers, spending.hour_usd);
        let is_free = spending.usd <= 0.0 && spending.hour_usd <= 0.0;
        if !is_free && (is_other || now >= at + later) {
            self.told_spending = (spending, now);
            job.tell(|| JobEvent::Spending { job: job.id(), spending });
        }
    }

    /// Notes the end of a worker.
    async fn ended(&mut self, name: &str, end: WorkerEnd) -> Result<()> {
        if let Some(number) = self.workers.get(name) {
            self.leadership.job.worker_ended(*number, true);
        }
        let words = match end {
            WorkerEnd::Finished => return Ok(()),
            WorkerEnd::OutOfMemory => {
                // The worker that takes over the chunk sees it there, and says so of a call that has killed too many.
                if let Err(error) = self.client_fleet.fleet.put_out_of_memory(name).await {
                    tracing::warn!(worker = name, %error, "cannot tell the fleet that the worker took too much memory");
                }
                "it took more memory than it may".to_owned()
            }
            WorkerEnd::Evicted => "the platform has taken its machine away".to_owned(),
            WorkerEnd::Lost(words) => words,
            WorkerEnd::Refused(mut words) => {
                if words.is_empty() {
                    words = self.client_fleet.fleet.ended(name).await?.unwrap_or_default();
                }
                let problem = format!("a worker of the fleet cannot work: {words}");
                return Err(Error::new(ErrorKind::WorkerLost, problem));
            }
        };
        let job = self.leadership.record.job;
        tracing::warn!(%job, worker = name, "a worker of the fleet is lost: {words}");
        self.leadership.job.count(|counts| counts.lost_workers += 1);
        let reason = format!("{name}: {words}");
        self.leadership.job.tell(|| JobEvent::WorkerLost { job, reason });
        Ok(())
    }

    /// Notes which workers the platform cannot start for now, and says so once for each reason.
    fn waiting(&mut self, waiting: &[WaitingWorkers]) -> Result<()> {
        if let Some(hopeless) = waiting.iter().find(|waiting| waiting.is_hopeless) {
            let problem =
                format!("{} workers of the fleet can never start: {}", hopeless.count, hopeless.why);
            return Err(Error::new(ErrorKind::WorkerLost, problem));
        }
        let workers = waiting.iter().map(|waiting| waiting.count).sum();
        let why: Vec<_> = waiting.iter().map(|waiting| waiting.why.as_str()).collect();
        let why = why.join("; ");
        self.leadership.job.count(|counts| counts.waiting_workers = workers as u64);
        self.waits_for.workers = workers as u64;
        if why != self.waits_for.why {
            self.leadership.job.say_waiting(workers, &why);
            self.waits_for.why = why;
        }
        Ok(())
    }
}
