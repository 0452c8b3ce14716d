//! [`Stint`]: a worker's time at one job.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Fuse},
    stream::FuturesUnordered,
};
use lithops_core::{
    board::{Action, Answer, BoardWorker, End, Lane},
    error::{ErrorKind, Result},
    fleet::{Fleet, Post, StoredBoard},
    id::JobId,
    journal::Journal,
    protocol::{Forget, Frame, FrameKind, Logs, Report},
    storage::StorageClient,
};
use tokio::time::{Instant, sleep_until};

use super::{
    inputs::{Fetched, Inputs},
    serve::ToPool,
    shift::{Next, Shift},
};

/// What was asked of the storage.
type Asked = FuturesUnordered<BoxFuture<'static, (Lane, Result<Answer>)>>;

/// Why a stint has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing is left to do for the job.
    Finished,
    /// Others do what is left of it, and another job is wanted.
    Idle,
    /// It is not wanted any more.
    Gone,
}

/// A worker's time at one job. The board says what to run; this performs what the board asks of the storage, and passes
/// calls to the pool and outcomes back.
pub(super) struct Stint<'a> {
    post: Post,
    journal: &'a Journal,
    fleet: &'a Fleet,
    storage: Arc<StoredBoard>,
    board: BoardWorker,
    begun: Instant,
    inputs: Inputs,
    shift: Option<Shift>,
    shifts: u64,
    /// Whether the pool knows the job.
    announced: bool,
}

impl<'a> Stint<'a> {
    /// A stint under a name that was never used at this job.
    pub(super) fn new(
        name: &str,
        post: Post,
        storage: &StorageClient,
        fleet: &'a Fleet,
        journal: &'a Journal,
    ) -> Self {
        let chunks = post.chunks();
        Self {
            journal,
            fleet,
            storage: Arc::new(StoredBoard::new(storage, journal, chunks)),
            board: BoardWorker::new(name, chunks, post.terms),
            begun: Instant::now(),
            inputs: Inputs::new(&post.segments),
            shift: None,
            shifts: 0,
            announced: false,
            post,
        }
    }

    /// Works until there is nothing more to do here; looks so often whether the job is still wanted when it is idle.
    pub(super) async fn work(mut self, pool: &mut ToPool, look: Duration) -> Result<Left> {
        let left = self.run(pool, look).await;
        self.forget(pool)?;
        match left {
            // What is removed while it is worked at cannot be read.
            Err(error) => match self.fleet.jobs().await {
                Ok(jobs) if !jobs.contains(&self.job()) || self.is_removed().await => Ok(Left::Gone),
                _ => Err(error),
            },
            left => left,
        }
    }

    /// Whether nothing is stored of the job any more: then its post was forgotten.
    async fn is_removed(&self) -> bool {
        self.journal.record().await.is_err_and(|error| error.kind() == ErrorKind::NotDurable)
    }

    async fn run(&mut self, pool: &mut ToPool, look: Duration) -> Result<Left> {
        let fleet = self.fleet;
        let mut asked = Asked::new();
        let mut fetched: FuturesUnordered<BoxFuture<'static, Fetched>> = FuturesUnordered::new();
        let mut wanted: Fuse<BoxFuture<'_, Result<Vec<JobId>>>> = Fuse::terminated();
        let mut next_look = Instant::now() + look;
        let left = loop {
            let rest = match self.step(pool, &mut asked, &mut fetched)? {
                Ok(rest) => rest,
                Err(End::Finished | End::Cancelled) => break Left::Finished,
                Err(End::Idle) => break Left::Idle,
            };
            let rest = rest.map_or(next_look, |rest| next_look.min(self.begun + rest));
            tokio::select! {
                Some((lane, answer)) = asked.next(), if !asked.is_empty() => {
                    self.board.answered(lane, answer?, self.begun.elapsed());
                }
                Some((number, taken)) = fetched.next(), if !fetched.is_empty() => {
                    self.inputs.keep(number, taken?);
                }
                frame = pool.frames.next() => match frame? {
                    Some(frame) => self.heard(&frame)?,
                    // It says itself why it has ended.
                    None => std::future::pending().await,
                },
                jobs = &mut wanted => {
                    let jobs = jobs?;
                    if !jobs.contains(&self.job()) {
                        break Left::Gone;
                    }
                    if self.board.is_idle() && jobs.len() > 1 {
                        break Left::Idle;
                    }
                }
                () = sleep_until(rest) => {}
            }
            if Instant::now() >= next_look {
                let pause = if self.board.is_idle() { look } else { self.post.terms.beat };
                next_look = Instant::now() + pause;
                wanted = fleet.jobs().boxed().fuse();
            }
        };
        // What is under way may still be stored; whoever clears up after this waits for it.
        while asked.next().await.is_some() {}
        Ok(left)
    }

    /// Does all that can be done now. Returns until when, or why there is nothing more.
    fn step(
        &mut self,
        pool: &ToPool,
        asked: &mut Asked,
        fetched: &mut FuturesUnordered<BoxFuture<'static, Fetched>>,
    ) -> Result<Result<Option<Duration>, End>> {
        loop {
            let now = self.begun.elapsed();
            match self.board.poll(now) {
                Action::Ask(lane, request) => {
                    let storage = Arc::clone(&self.storage);
                    asked.push(async move { (lane, storage.perform(request).await) }.boxed());
                }
                Action::RunCalls { chunk, epoch, first, end } => self.order((chunk, epoch), first, end, now),
                Action::StopCalls { chunk, epoch } => {
                    if self.shift.as_ref().is_some_and(|shift| (shift.chunk, shift.epoch) == (chunk, epoch)) {
                        self.forget(pool)?;
                    }
                }
                Action::Done(end) => return Ok(Err(end)),
                Action::Wait(until) => {
                    self.give(pool, fetched, now)?;
                    if self.tell(now)? {
                        continue;
                    }
                    let due = self.shift.as_ref().and_then(Shift::due);
                    return Ok(Ok([until, due].into_iter().flatten().min()));
                }
            }
        }
    }

    fn order(&mut self, (chunk, epoch): (u64, u64), first: u64, end: u64, now: Duration) {
        let same = self.shift.as_ref().is_some_and(|shift| (shift.chunk, shift.epoch) == (chunk, epoch));
        if !same {
            self.shifts += 1;
            self.shift = Some(Shift::new(&self.post, (chunk, epoch), self.shifts, now));
        }
        if let Some(shift) = &mut self.shift {
            shift.order(first, end);
        }
    }

    /// Gives calls to the pool, as far as they may start and it has room.
    fn give(
        &mut self,
        pool: &ToPool,
        fetched: &mut FuturesUnordered<BoxFuture<'static, Fetched>>,
        now: Duration,
    ) -> Result<()> {
        let mut frames = Vec::new();
        while let Some(shift) = &mut self.shift {
            if !self.board.may_start(shift.chunk, shift.epoch, now) {
                break;
            }
            match shift.next(&mut self.inputs, now) {
                Next::Give(calls) => {
                    if !std::mem::replace(&mut self.announced, true) {
                        Frame::write(FrameKind::Job, &self.post.spec, &mut frames)?;
                    }
                    calls.write(&mut frames);
                }
                Next::Fetch(call) => {
                    fetched.extend(self.inputs.fetch(call, self.journal));
                    break;
                }
                Next::Rest => break,
            }
        }
        if !frames.is_empty() {
            pool.outbox.send(&frames);
        }
        Ok(())
    }

    /// Tells the board of outcomes. Returns whether there were any.
    fn tell(&mut self, now: Duration) -> Result<bool> {
        let Some(shift) = &mut self.shift else { return Ok(false) };
        let told = shift.tell(now)?;
        for (first, end, report) in &told {
            self.board.ran(shift.chunk, shift.epoch, *first, *end, report);
        }
        Ok(!told.is_empty())
    }

    /// Takes in a frame of the pool.
    fn heard(&mut self, frame: &Frame) -> Result<()> {
        let now = self.begun.elapsed();
        match (frame.kind, &mut self.shift) {
            (FrameKind::Report, Some(shift)) => shift.report(&Report::read(&frame.body)?, now),
            (FrameKind::Logs, Some(shift)) => {
                let logs: Logs = frame.decode()?;
                if logs.job == self.post.spec.job {
                    shift.printed(logs.entries);
                }
            }
            // Of a job or a chunk that this worker has let go.
            _ => {}
        }
        Ok(())
    }

    /// Ends what runs of the job, and lets the pool forget that calls of it were not to be run.
    fn forget(&mut self, pool: &ToPool) -> Result<()> {
        self.shift = None;
        if std::mem::replace(&mut self.announced, false) {
            let mut frame = Vec::new();
            Frame::write(FrameKind::Forget, &Forget { job: self.job() }, &mut frame)?;
            pool.outbox.send(&frame);
        }
        Ok(())
    }

    fn job(&self) -> JobId {
        self.post.spec.job
    }
}
