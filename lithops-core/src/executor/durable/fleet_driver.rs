//! [`Gathering`]: a client's part in a job whose chunks a fleet fetches itself.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse, FusedFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::leadership::{Means, Pursuit};
use crate::{
    board::{Answer, BoardClient, ClientAction},
    error::{Error, ErrorKind, Result},
    executor::{
        driver::Ended,
        job::{Command, Commands, JobEvent, Measured},
    },
    fleet::{GIVEN_UP, Hired, Post, StoredBoard},
    journal::Bundle,
    protocol::{JobSpec, Logs},
    storage::may_succeed_later,
};

/// So many commits are read at once.
const AT_ONCE: usize = 32;
/// Whether its workers live is asked this often, or at each beat.
const SCALED_EVERY: Duration = Duration::from_secs(1);
/// A fleet whose workers end without a commit is not scaled for ever: so many workers beyond those that every call may
/// take with it.
const FALSE_STARTS: u64 = 16;

/// A post that is taken away is put again so often without a commit in between: then somebody does not want it there.
const PUT_AGAIN: u32 = 20;

/// What is looked after while the fleet works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// All that the workers look for is there.
    All,
    /// The job's post is gone.
    NoPost,
    /// What is stored of the job is gone.
    NoRecord,
}

/// A chunk whose commit was read, and what it holds; nothing if it is damaged.
type Read = (u64, Option<Bundle>);

/// A client's part in a job whose chunks a fleet fetches itself: it tells the fleet of the job, has as many workers
/// started as are needed, and makes visible what is committed. Which worker does what is none of its business.
pub(crate) struct Gathering<'a> {
    pursuit: &'a Pursuit,
    means: &'a Means,
    hired: &'a Hired,
    board: BoardClient,
    begun: Instant,
    /// Commits that were seen and are to be read.
    unread: VecDeque<u64>,
    reading: FuturesUnordered<BoxFuture<'a, Result<Read>>>,
    asking: Fuse<BoxFuture<'a, Result<Answer>>>,
    scaling: Fuse<BoxFuture<'a, Result<Vec<String>>>>,
    next_scaling: Duration,
    /// A look whether what the workers need is there still, or the post that is put again.
    keeping: Fuse<BoxFuture<'a, Result<Kept>>>,
    next_keeping: Duration,
    /// Since when that has failed.
    unkept_since: Option<Duration>,
    /// How often the post was put again, and how many commits there were then.
    put_again: (u32, u64),
    /// The workers that were started, and how many of them before the last commit.
    workers: BTreeMap<String, u64>,
    started_before: u64,
    /// How many commits the fleet had made then.
    commits: u64,
    measured: Measured,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(pursuit: &'a Pursuit, means: &'a Means, hired: &'a Hired) -> Self {
        let record = &pursuit.record;
        let most = means.plan.max_workers() as u64;
        let chunks = crate::board::Chunks::new(record.calls, record.chunksize);
        Self {
            pursuit,
            means,
            hired,
            board: BoardClient::new(&pursuit.owner.name, chunks, hired.terms, most),
            begun: Instant::now(),
            unread: VecDeque::new(),
            reading: FuturesUnordered::new(),
            asking: Fuse::terminated(),
            scaling: Fuse::terminated(),
            next_scaling: Duration::ZERO,
            keeping: Fuse::terminated(),
            next_keeping: hired.terms.beat,
            unkept_since: None,
            put_again: (0, 0),
            workers: BTreeMap::new(),
            started_before: 0,
            commits: 0,
            measured: Measured::default(),
        }
    }

    /// Gathers until every call has an outcome, or the job is left to another.
    pub(crate) async fn gather(mut self, commands: &mut Commands, stop: &mut oneshot::Receiver<()>) -> Ended {
        let (job, id) = (&self.pursuit.job, self.pursuit.record.job);
        let ended = self.run(commands, stop).await.unwrap_or_else(|error| {
            tracing::warn!(job = %id, %error, "the job cannot go on");
            job.fail(error);
            Ended::Failed
        });
        self.workers.values().for_each(|number| job.worker_ended(*number, true));
        self.hired.needs_no_more(id);
        // Another client has taken the job over, and the fleet may well help; otherwise it has nothing more to do.
        if (ended != Ended::Stopped || job.is_interrupted() && !job.is_detached())
            && let Err(error) = self.hired.fleet.remove(id).await
        {
            tracing::warn!(job = %id, %error, "cannot take the job's post away: its workers look for it in vain");
        }
        if ended == Ended::Finished {
            if let Some(learn) = &self.means.learn {
                learn.from(self.measured);
            }
            job.tell(|| JobEvent::Finished { job: id, progress: job.progress() });
        }
        ended
    }

    async fn run(&mut self, commands: &mut Commands, stop: &mut oneshot::Receiver<()>) -> Result<Ended> {
        let Pursuit { record, journal, job, .. } = self.pursuit;
        job.set_known(record.calls, true);
        job.handed_over(record.chunks());
        let chunks = crate::board::Chunks::new(record.calls, record.chunksize);
        let board = StoredBoard::new(&self.hired.storage, journal, chunks);
        let board = std::sync::Arc::new(board);
        self.hired.fleet.put(&self.post()).await?;
        loop {
            self.read();
            self.scale();
            self.keep();
            let alarm = match self.board.poll(self.now()) {
                ClientAction::Ask(request) => {
                    let board = std::sync::Arc::clone(&board);
                    self.asking = async move { board.perform(request).await }.boxed().fuse();
                    continue;
                }
                ClientAction::Done if self.unread.is_empty() && self.reading.is_empty() => {
                    return Ok(Ended::Finished);
                }
                ClientAction::Done => None,
                ClientAction::Wait(until) => {
                    let scaling = Some(self.next_scaling).filter(|due| *due < Duration::MAX);
                    let keeping = Some(self.next_keeping)
                        .filter(|_| self.keeping.is_terminated() && !self.board.is_finished());
                    [until, scaling, keeping].into_iter().flatten().min().map(|due| self.begun + due)
                }
            };
            tokio::select! {
                biased;
                Some(command) = commands.recv() => match command {
                    Command::Cancel => self.board.cancel(),
                    // What the workers of a fleet hold cannot be taken away call by call.
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
                answer = &mut self.asking => {
                    let now = self.now();
                    self.board.answered(answer?, now);
                }
                names = &mut self.scaling => self.scaled(&names?)?,
                kept = &mut self.keeping => self.kept(kept)?,
                () = sleep_until(alarm.unwrap_or(self.begun)), if alarm.is_some() => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What the fleet is told: it knows the job from its post alone; outcomes are committed on the board, and nowhere
    /// else.
    fn post(&self) -> Post {
        let record = &self.pursuit.record;
        let spec = JobSpec { durable: None, ..(*self.means.spec).clone() };
        let calls = (record.calls, record.chunksize);
        Post::new(spec, calls, record.segments.clone(), record.policy, self.hired.terms)
    }

    /// Looks from time to time whether what the workers look for is there: anybody may take it away, and nobody else
    /// would notice.
    fn keep(&mut self) {
        let now = self.now();
        if now < self.next_keeping || !self.keeping.is_terminated() || self.board.is_finished() {
            return;
        }
        self.next_keeping = now + self.hired.terms.beat;
        let (fleet, journal, id) = (&self.hired.fleet, &self.pursuit.journal, self.pursuit.record.job);
        let look = async move {
            if !journal.has_record().await? {
                return Ok(Kept::NoRecord);
            }
            Ok(if fleet.has(id).await? { Kept::All } else { Kept::NoPost })
        };
        self.keeping = look.boxed().fuse();
    }

    fn kept(&mut self, kept: Result<Kept>) -> Result<()> {
        let id = self.pursuit.record.job;
        let now = self.now();
        let failing_since = if kept.is_err() { Some(self.unkept_since.unwrap_or(now)) } else { None };
        self.unkept_since = failing_since;
        match kept {
            Ok(Kept::All) => {}
            Err(error)
                if may_succeed_later(&error) && failing_since.is_some_and(|since| now < since + GIVEN_UP) =>
            {
                tracing::warn!(job = %id, %error, "cannot look after the job's post");
            }
            Err(error) => return Err(error),
            Ok(_) if self.board.is_finished() => {}
            Ok(Kept::NoRecord) => {
                let problem = format!("what is stored of job {id} was removed while it ran");
                return Err(Error::new(ErrorKind::NotDurable, problem)
                    .with_hint("somebody else can write to this storage; start the job again"));
            }
            Ok(Kept::NoPost) => {
                let commits = self.hired.commits();
                let (times, before) = self.put_again;
                let times = if commits > before { 1 } else { times + 1 };
                self.put_again = (times, commits);
                if times > PUT_AGAIN {
                    let problem = format!(
                        "the post of job {id} was removed {times} times while the fleet committed nothing"
                    );
                    return Err(Error::new(ErrorKind::WorkerLost, problem)
                        .with_hint("something else removes objects below `lithops.fleets/`"));
                }
                tracing::warn!(job = %id, "somebody has removed the job's post: it is put again");
                let (fleet, post) = (&self.hired.fleet, self.post());
                self.keeping = async move { fleet.put(&post).await.map(|()| Kept::All) }.boxed().fuse();
            }
        }
        Ok(())
    }

    /// Reads what was committed and is not visible yet.
    fn read(&mut self) {
        let Pursuit { record, journal, job, .. } = self.pursuit;
        while let Some(chunk) = self.board.take_committed() {
            if job.read(|outcomes| !outcomes.done().contains(record.calls_of(chunk).0)) {
                self.unread.push_back(chunk);
            }
            self.hired.committed();
        }
        while self.reading.len() < AT_ONCE
            && let Some(chunk) = self.unread.pop_front()
        {
            let read = async move { Ok((chunk, journal.bundle(chunk, record.calls_of(chunk)).await?)) };
            self.reading.push(read.boxed());
        }
    }

    /// What was committed of a chunk is damaged: somebody is to run it again.
    fn reopen(&mut self, chunk: u64) {
        let now = self.now();
        self.board.reopened(chunk, now);
        self.next_scaling = now;
    }

    fn make_visible(&mut self, bundle: Bundle) {
        let job = &self.pursuit.job;
        bundle.reports.iter().for_each(|report| self.measured.add(report));
        job.add_logs(Logs { job: self.pursuit.record.job, entries: bundle.logs });
        job.commit(bundle.reports);
    }

    /// Has as many workers live as there are open chunks and as may live. It is asked for again and again: a worker
    /// that has ended is replaced as soon as its platform knows, and one that cannot work is noticed.
    fn scale(&mut self) {
        let now = self.now();
        if self.board.is_finished() || self.board.is_cancelled() {
            self.next_scaling = Duration::MAX;
        }
        if now < self.next_scaling || !self.scaling.is_terminated() {
            return;
        }
        self.next_scaling = now + self.hired.terms.beat.min(SCALED_EVERY);
        let needed = self.hired.needs(self.pursuit.record.job, self.board.open());
        let workers = usize::try_from(needed).unwrap_or(usize::MAX).min(self.means.plan.max_workers());
        let (backend, launch) = (&self.means.backend, &self.hired.launch);
        self.scaling = async move { backend.scale(launch, workers).await }.boxed().fuse();
    }

    fn scaled(&mut self, names: &[String]) -> Result<()> {
        let now = self.now();
        for name in names {
            self.board.started(name, now);
            let number = self.workers.len() as u64;
            if !self.workers.contains_key(name) {
                self.workers.insert(name.clone(), number);
                self.pursuit.job.worker_began(number);
                tracing::debug!(worker = name, "a worker of the fleet lives");
            }
        }
        // Its workers are those of the fleet's other jobs too.
        let commits = self.hired.commits();
        if std::mem::replace(&mut self.commits, commits) != commits {
            self.started_before = self.workers.len() as u64;
        }
        let record = &self.pursuit.record;
        let in_vain = self.workers.len() as u64 - self.started_before;
        let fair = record.chunksize.saturating_mul(u64::from(record.policy.losses) + 1);
        let most = self.means.plan.max_workers() as u64;
        if in_vain <= fair.saturating_add(most.saturating_mul(2)).saturating_add(FALSE_STARTS) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WorkerLost,
            format!("{in_vain} workers were started in a row and ended before any of them committed a chunk"),
        )
        .with_hint("something ends them from outside: is there too little memory, or a limit of processes?"))
    }
}
