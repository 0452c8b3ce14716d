//! [`JobSession`]: the time that a worker of a fleet spends at one job.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse},
    stream::FuturesUnordered,
};
use lithops_core::{
    board::{Action, BoardAnswer, BoardWorker, End, Lane, LeaseConfig},
    error::{ErrorKind, Result},
    fleet::{Fleet, JobManifest, StoredBoard},
    id::JobId,
    journal::Journal,
    protocol::{Forget, Frame, FrameKind, Logs, Report},
    storage::{StorageClient, may_succeed_later},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    chunk_run::{ChunkRun, NextStep},
    client_watch::{ClientWatch, FRESH, FRESH_LOOKS, Seen},
    inputs::{Fetched, StoredInputs},
    leave::Leave,
    running_pool::ToPool,
};

/// The board's requests to the storage that are under way.
type Requests = FuturesUnordered<BoxFuture<'static, (Lane, Result<BoardAnswer>)>>;

/// The segments of inputs that are being fetched.
type Fetches = FuturesUnordered<BoxFuture<'static, Fetched>>;

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// Nothing is left to do for the job.
    Finished,
    /// Other workers do what is left of the job, and another job waits for a worker.
    Idle,
    /// Other workers have done what is left of the job for so long that this one is not needed.
    Patience,
    /// The client has taken the job away.
    Gone,
    /// The worker was told to leave, and has handed back what it held.
    Left,
}

/// The jobs of the fleet, as far as a session knows.
#[derive(Debug)]
pub(super) struct OtherJobs {
    /// The jobs that were listed last.
    pub(super) listed: Vec<JobId>,
    /// Those that this worker has been at.
    pub(super) known: HashSet<JobId>,
    /// Those that it has finished with.
    pub(super) finished: HashSet<JobId>,
}

/// The time that a worker spends at one job. The board says what to run. The session performs what the board asks of
/// the storage, gives calls to the pool and takes their outcomes back to the board.
pub(super) struct JobSession<'a> {
    manifest: JobManifest,
    journal: &'a Journal,
    fleet: &'a Fleet,
    storage: Arc<StoredBoard>,
    board: BoardWorker,
    begun: Instant,
    inputs: StoredInputs,
    /// The chunk that this worker holds.
    current: Option<ChunkRun>,
    /// How many chunks it has held in this session.
    chunk_runs: u64,
    /// Whether the pool knows the job.
    announced: bool,
    /// Until when calls may run on, once the worker is to leave.
    leaves_at: Option<Instant>,
}

/// What a look at the client has found, with the jobs that were listed after it.
pub(super) type Listed = (Seen, Vec<JobId>);

/// What a look at the client has found, and the listed jobs if they were looked up.
type Wanted<'a> = (&'a mut ClientWatch, Seen, Option<Vec<JobId>>);

/// Looks at the client, and lists the jobs if that may have brought something new.
async fn look_at<'a>(client: &'a mut ClientWatch, fleet: &Fleet) -> Result<Wanted<'a>> {
    let seen = client.look(fleet).await?;
    if seen == Seen::Nothing {
        return Ok((client, seen, None));
    }
    let jobs = match fleet.jobs().await {
        Err(error) if may_succeed_later(&error) => None,
        jobs => Some(jobs?),
    };
    if jobs.is_some() {
        client.listed();
    }
    Ok((client, seen, jobs))
}

impl<'a> JobSession<'a> {
    /// A session under a name that no worker has used at this job before.
    pub(super) fn new(
        name: &str,
        manifest: JobManifest,
        storage: &StorageClient,
        fleet: &'a Fleet,
        journal: &'a Journal,
    ) -> Self {
        let chunks = manifest.chunks();
        Self {
            journal,
            fleet,
            storage: Arc::new(StoredBoard::new(storage, journal, chunks).of_fleet(fleet.clone())),
            board: BoardWorker::new(name, chunks, manifest.lease_config),
            begun: Instant::now(),
            inputs: StoredInputs::new(&manifest.segments),
            current: None,
            chunk_runs: 0,
            announced: false,
            leaves_at: None,
            manifest,
        }
    }

    /// Works until there is nothing more to do here, or the worker is to leave. An idle session looks once per `look`
    /// whether the job is still wanted. Returns why it has ended, whether this worker had a chunk, and the jobs if they were
    /// listed just before the end.
    pub(super) async fn work(
        mut self,
        pool: &mut ToPool,
        look: Duration,
        client: &mut ClientWatch,
        (told, others): (watch::Receiver<Leave>, OtherJobs),
    ) -> Result<(SessionEnd, bool, Option<Listed>)> {
        let mut listed = None;
        let end = self.run(pool, look, client, (told, others), &mut listed).await;
        self.forget(pool)?;
        let end = match end {
            // A job that is removed while a worker is at it has objects that cannot be read any more: no error then.
            Err(error) => match self.fleet.jobs().await {
                Ok(jobs) if !jobs.contains(&self.job()) || self.is_removed().await => SessionEnd::Gone,
                _ => return Err(error),
            },
            Ok(end) => end,
        };
        Ok((end, self.chunk_runs > 0, listed))
    }

    /// Whether nothing is stored of the job any more, although its manifest was left behind.
    async fn is_removed(&self) -> bool {
        self.journal.record().await.is_err_and(|error| error.kind() == ErrorKind::NotDurable)
    }

    async fn run(
        &mut self,
        pool: &mut ToPool,
        look: Duration,
        client: &mut ClientWatch,
        (mut told, mut others): (watch::Receiver<Leave>, OtherJobs),
        listed: &mut Option<Listed>,
    ) -> Result<SessionEnd> {
        let fleet = self.fleet;
        let mut requests = Requests::new();
        let mut fetches = Fetches::new();
        // Where there is one segment, its inputs are needed with the first chunk: they come while that is claimed.
        if self.manifest.segments.len() == 1 {
            fetches.extend(self.inputs.fetch(0, self.journal));
        }
        let mut wanted: Fuse<BoxFuture<'_, Result<Wanted<'_>>>> = Fuse::terminated();
        let mut client = Some(client);
        let mut looked = Instant::now();
        told.mark_changed();
        let end = loop {
            self.leave(&told.borrow_and_update())?;
            let rest = match self.step(pool, &mut requests, &mut fetches)? {
                Ok(rest) => rest,
                Err(End::Finished | End::Cancelled) => break SessionEnd::Finished,
                Err(End::Idle) => break SessionEnd::Patience,
                Err(End::Left) => break SessionEnd::Left,
            };
            // While a look is under way, its answer is waited for and not its time.
            let look_due = client.as_ref().map(|client| self.next_look(looked, look, client));
            let until = rest.map(|rest| self.begun + rest).into_iter().chain(look_due).min();
            let until = self.leaves_at.filter(|at| *at > Instant::now()).into_iter().chain(until).min();
            tokio::select! {
                Some((lane, answer)) = requests.next(), if !requests.is_empty() => {
                    self.board.answered(lane, answer?, self.begun.elapsed());
                }
                Some((number, taken)) = fetches.next(), if !fetches.is_empty() => {
                    self.inputs.keep(number, taken?);
                }
                frame = pool.frames.next() => match frame? {
                    Some(frame) => self.heard(&frame)?,
                    None => return Err(pool.why_ended().await),
                },
                looked = &mut wanted => {
                    let (back, seen, jobs) = looked?;
                    client = Some(back);
                    // The job may have been detached since this worker read its manifest.
                    if seen == Seen::Gone && !self.manifest.detached {
                        match fleet.get(self.job()).await? {
                            Some(manifest) if manifest.detached => self.manifest.detached = true,
                            _ => self.leaves_at = Some(Instant::now()),
                        }
                    }
                    let just_listed = jobs.map(|jobs| (seen, jobs));
                    if let Some((_, jobs)) = &just_listed {
                        others.listed.clone_from(jobs);
                    }
                    if !others.listed.contains(&self.job()) {
                        *listed = just_listed;
                        break SessionEnd::Gone;
                    }
                    if self.board.is_idle() && self.may_change(&others, seen) {
                        *listed = just_listed;
                        break SessionEnd::Idle;
                    }
                }
                _ = told.changed() => {}
                () = sleep_until(until.unwrap_or(self.begun)), if until.is_some() => {}
            }
            if let Some(client) =
                client.take_if(|client| Instant::now() >= self.next_look(looked, look, client))
            {
                looked = Instant::now();
                wanted = look_at(client, fleet).boxed().fuse();
            }
        };
        // Requests that are under way may still store something. The caller removes what is left of a job that is
        // gone, so they must have ended before.
        while requests.next().await.is_some() {}
        Ok(end)
    }

    /// When to look at the client again. A busy worker touches the storage at each heartbeat anyway; it also looks when the
    /// client would have been silent for too long.
    fn next_look(&self, looked: Instant, look: Duration, client: &ClientWatch) -> Instant {
        let pause = match self.board.is_idle() {
            true if self.board.idle_for(self.begun.elapsed()) < FRESH => look / FRESH_LOOKS,
            true => look,
            false => self.manifest.lease_config.beat,
        };
        match client.gone_at() {
            Some(gone_at) if gone_at > looked => (looked + pause).min(gone_at.max(looked + look)),
            _ => looked + pause,
        }
    }

    /// Whether an idle worker goes to another job. One that it has not seen may have free chunks. Between jobs that it
    /// knows it changes only after it could have seen a lease expire here, and never while a holder is suspected: a new
    /// session observes anew.
    fn may_change(&self, others: &OtherJobs, seen: Seen) -> bool {
        let now = self.begun.elapsed();
        let LeaseConfig { lease, beat, .. } = self.manifest.lease_config;
        let has_watched = self.board.idle_for(now) >= lease + beat * 4;
        // When the client is gone, jobs that are not detached stay listed, and no worker goes to them.
        let is_new = |job: &JobId| seen != Seen::Gone && !others.known.contains(job);
        let is_elsewhere = |job: &JobId| {
            *job != self.job() && !others.finished.contains(job) && (has_watched || is_new(job))
        };
        !self.board.suspects(now) && others.listed.iter().any(is_elsewhere)
    }

    /// Lets the board leave when the worker is told to: it claims nothing more, and hands its chunk back once no call of
    /// it runs any more, or the time for them is over.
    fn leave(&mut self, told: &Leave) -> Result<()> {
        if let Leave::By(at) = told {
            self.leaves_at = Some(self.leaves_at.map_or(*at, |before| before.min(*at)));
        }
        let Some(at) = self.leaves_at else { return Ok(()) };
        self.board.leave();
        let is_over = Instant::now() >= at;
        if is_over || self.current.as_ref().is_none_or(ChunkRun::is_quiet) {
            let now = self.begun.elapsed();
            self.tell(now, true)?;
            self.board.hand_back();
        }
        Ok(())
    }

    /// Does all that can be done now. Returns when to call again at the latest, or why the session ends.
    fn step(
        &mut self,
        pool: &ToPool,
        requests: &mut Requests,
        fetches: &mut Fetches,
    ) -> Result<Result<Option<Duration>, End>> {
        loop {
            let now = self.begun.elapsed();
            match self.board.poll(now) {
                Action::Ask(lane, request) => {
                    let storage = Arc::clone(&self.storage);
                    requests.push(async move { (lane, storage.perform(request).await) }.boxed());
                }
                Action::RunCalls { chunk, epoch, first, end } => self.order((chunk, epoch), first, end, now),
                Action::StopCalls { chunk, epoch } => {
                    if self.holds(chunk, epoch) {
                        self.forget(pool)?;
                    }
                }
                Action::Done(end) => return Ok(Err(end)),
                Action::Wait(until) => {
                    self.give(pool, fetches, now)?;
                    if self.tell(now, false)? {
                        // Outcomes may give the board something new to ask.
                        continue;
                    }
                    let may_start =
                        |run: &&ChunkRun| self.board.may_start(run.chunk, run.epoch, self.begun.elapsed());
                    let due = self.current.as_ref().and_then(|run| run.due(may_start(&run)));
                    return Ok(Ok([until, due].into_iter().flatten().min()));
                }
            }
        }
    }

    fn holds(&self, chunk: u64, epoch: u64) -> bool {
        self.current.as_ref().is_some_and(|run| (run.chunk, run.epoch) == (chunk, epoch))
    }

    fn order(&mut self, (chunk, epoch): (u64, u64), first: u64, end: u64, now: Duration) {
        if !self.holds(chunk, epoch) {
            self.chunk_runs += 1;
            self.current = Some(ChunkRun::new(&self.manifest, (chunk, epoch), self.chunk_runs, now));
        }
        if let Some(run) = &mut self.current {
            run.order(first, end);
        }
    }

    /// Gives calls to the pool, as far as the lease lets them start and the window has room.
    fn give(&mut self, pool: &ToPool, fetches: &mut Fetches, now: Duration) -> Result<()> {
        let mut frames = Vec::new();
        while let Some(run) = &mut self.current {
            if !self.board.may_start(run.chunk, run.epoch, now) {
                break;
            }
            match run.next(&mut self.inputs, now) {
                NextStep::Give(calls) => {
                    if !std::mem::replace(&mut self.announced, true) {
                        Frame::write(FrameKind::Job, &self.manifest.spec, &mut frames)?;
                    }
                    calls.write(&mut frames);
                }
                NextStep::Fetch(call) => {
                    fetches.extend(self.inputs.fetch(call, self.journal));
                    break;
                }
                NextStep::Rest => break,
            }
        }
        if !frames.is_empty() {
            pool.outbox.send(&frames);
        }
        Ok(())
    }

    /// Tells the board of outcomes: when they are due, or all at once. Returns whether there were any.
    fn tell(&mut self, now: Duration, all: bool) -> Result<bool> {
        let Some(run) = &mut self.current else { return Ok(false) };
        let told = run.tell(now, all)?;
        for (first, end, report) in &told {
            self.board.ran(run.chunk, run.epoch, *first, *end, report);
        }
        Ok(!told.is_empty())
    }

    /// Takes in a frame of the pool.
    fn heard(&mut self, frame: &Frame) -> Result<()> {
        let now = self.begun.elapsed();
        match (frame.kind, &mut self.current) {
            (FrameKind::Report, Some(run)) => run.report(&Report::read(&frame.body)?, now),
            (FrameKind::Logs, Some(run)) => {
                let logs: Logs = frame.decode()?;
                if logs.job == self.manifest.spec.job {
                    run.printed(logs.entries);
                }
            }
            // A frame about a job or a chunk that this worker has let go.
            _ => {}
        }
        Ok(())
    }

    /// Ends what runs of the job. The pool forgets the job, and with it which of its calls were cancelled, so that the
    /// same calls can be given to it again.
    fn forget(&mut self, pool: &ToPool) -> Result<()> {
        self.current = None;
        if std::mem::replace(&mut self.announced, false) {
            let mut frame = Vec::new();
            Frame::write(FrameKind::Forget, &Forget { job: self.job() }, &mut frame)?;
            pool.outbox.send(&frame);
        }
        Ok(())
    }

    fn job(&self) -> JobId {
        self.manifest.spec.job
    }
}
