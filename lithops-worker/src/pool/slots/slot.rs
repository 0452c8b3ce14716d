//! [`Slot`]: one sub-worker, its channel, its ledger, its log, and the batches it has.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use lithops_core::{
    id::JobId,
    protocol::{Calls, FrameKind, LogEntry, Outbox, Report, Tag, frame_header},
};
use rustix::process::{Pid, Signal};

use super::{
    log_pipe::{LogPipe, LogText},
    offspring,
};
use crate::{
    clock,
    pool::{Ledger, exit_cause::EndReason, jobs::PoolJob},
    processes::{end_below, end_group},
};

/// Frames that can wait for the next batch are sent alone when they have this many bytes: that may be long in coming.
const DEFERRED: usize = 4096;
/// How long the output of a running call waits at least until more of it is sent.
const LIVE_PAUSE: Duration = Duration::from_millis(100);
/// How far the time that a call began may be ahead of the clock of the pool's turn, in nanoseconds: the turn may have
/// read its clock before the call began.
const AHEAD: u64 = 1_000_000_000;

/// Calls that a sub-worker was given together.
#[derive(Debug)]
pub(in crate::pool) struct Batch {
    pub(in crate::pool) number: u32,
    pub(in crate::pool) calls: Calls,
    /// How many of the calls have been reported.
    pub(in crate::pool) reported: u32,
}

/// What a sub-worker does, as far as its ledger tells.
#[derive(Debug)]
pub(in crate::pool) enum Doing<'a> {
    /// It runs no call.
    Nothing,
    /// It runs the call of this batch with this index.
    Runs(&'a Batch, u32),
    /// The ledger says something that cannot be: a call has overwritten it.
    Damaged,
}

/// One sub-worker.
#[derive(Debug)]
pub(in crate::pool) struct Slot {
    pub(in crate::pool) pid: u32,
    pub(in crate::pool) ledger: Ledger,
    pub(in crate::pool) log: LogPipe,
    /// The batch it runs, and the next.
    pub(in crate::pool) batches: VecDeque<Batch>,
    /// Whether the job of its batches was forgotten since. Their reports are dropped, even if the same job is announced
    /// again.
    pub(in crate::pool) disowned: bool,
    /// Whether it has said hello.
    pub(in crate::pool) ready: bool,
    /// When it was started, on the monotonic clock.
    pub(in crate::pool) started_at: u64,
    /// When it last was given calls with nothing to do, or reported, on the monotonic clock.
    pub(in crate::pool) heard_at: u64,
    /// Since when its ledger says something that cannot be, on the monotonic clock.
    pub(in crate::pool) damaged_since: Option<u64>,
    /// Why it was asked to end, and because of which call: batch and index.
    pub(in crate::pool) ending: Option<(EndReason, u32, u32)>,
    /// When it was asked to end, on the monotonic clock.
    pub(in crate::pool) asked_to_end_at: Option<u64>,
    /// The CPU time that its reports have told of.
    pub(in crate::pool) reported_cpu: Duration,
    /// Its resident memory when that was last read, and when that was.
    pub(in crate::pool) resident: (u64, u64),
    /// The running call whose output was last sent (batch and index), how many bytes that were, and when, on the
    /// monotonic clock.
    live: ((u32, u32), u64, u64),
    outbox: Outbox,
    /// Frames that can wait for the next batch: a sub-worker is not woken for them alone.
    deferred: Vec<u8>,
    known_jobs: HashSet<JobId>,
    next_batch: u32,
}

impl Slot {
    /// The slot of a process that has just been started.
    pub(super) fn new(pid: u32, ledger: Ledger, log: LogPipe, outbox: Outbox) -> Self {
        Self {
            pid,
            ledger,
            log,
            batches: VecDeque::new(),
            disowned: false,
            ready: false,
            started_at: clock::monotonic(),
            heard_at: clock::monotonic(),
            damaged_since: None,
            ending: None,
            asked_to_end_at: None,
            reported_cpu: Duration::ZERO,
            resident: (0, 0),
            live: ((0, 0), 0, 0),
            outbox,
            deferred: Vec::new(),
            known_jobs: HashSet::new(),
            // A ledger of zeros has no batch 0.
            next_batch: 1,
        }
    }

    /// The job whose calls it has; `None` when that is forgotten.
    pub(in crate::pool) fn job(&self) -> Option<JobId> {
        self.batches.front().filter(|_| !self.disowned).map(|batch| batch.calls.run.job)
    }

    /// Whether it has nothing to do.
    pub(in crate::pool) fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.ending.is_none()
    }

    /// Sends it a batch.
    pub(in crate::pool) fn give(&mut self, job: &PoolJob, mut calls: Calls) {
        self.disowned &= !self.batches.is_empty();
        if self.batches.is_empty() {
            self.heard_at = clock::monotonic();
        }
        calls.batch = self.next_batch;
        self.next_batch = self.next_batch.wrapping_add(1).max(1);
        self.ledger.open(calls.batch, calls.run.count);
        let mut frames = std::mem::take(&mut self.deferred);
        if self.known_jobs.insert(job.spec.job) {
            frames.extend_from_slice(&frame_header(FrameKind::Job, job.frame.len()));
            frames.extend_from_slice(&job.frame);
        }
        self.outbox.send_calls(frames, &calls);
        self.batches.push_back(Batch { number: calls.batch, calls, reported: 0 });
    }

    /// Tells it that a job is finished, at once or with the next batch.
    pub(in crate::pool) fn forget(&mut self, job: JobId, frame: &[u8], at_once: bool) {
        if self.known_jobs.remove(&job) {
            self.deferred.extend_from_slice(frame);
            if at_once || self.deferred.len() > DEFERRED {
                self.outbox.send(&self.deferred);
                self.deferred.clear();
            }
        }
    }

    /// The batch with this number, if it has that.
    pub(in crate::pool) fn batch_of(&self, number: u32) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.number == number)
    }

    /// The output of calls whose marks have been seen in the log.
    pub(in crate::pool) fn take_logs(&mut self) -> Vec<(JobId, LogEntry)> {
        let ended = self.log.take_ended();
        let mut logs = Vec::new();
        for (number, index, text) in ended {
            // A mark of no batch ends what the program has printed before its first call.
            if let Some(batch) = self.batch_of(number)
                && index < batch.calls.run.count
                && !text.is_empty()
            {
                logs.push((batch.calls.run.job, log_entry(&batch.calls, index, text)));
            }
        }
        logs
    }

    /// Takes the output of the running call out of its pipe. Returns the call's output so far if there is more of it than
    /// was sent last, and it is time to send it.
    pub(in crate::pool) fn live_log(&mut self, limit: u64, now: u64) -> Option<(JobId, LogEntry)> {
        let running = self.running().map(|(batch, index)| (batch.number, index));
        self.log.relieve(limit, true);
        // If the call has ended meanwhile, the text may be the next one's: the next look will tell.
        let (batch, index) = self.running()?;
        let ((number, index), calls) = ((batch.number, index), &batch.calls);
        let (sent_of, sent, sent_at) = self.live;
        let sent = if sent_of == (number, index) { sent } else { 0 };
        let len = self.log.so_far_len();
        // The whole text is sent each time: a long one more seldom.
        let pause = LIVE_PAUSE + Duration::from_micros(sent);
        if running != Some((number, index))
            || len <= sent
            || Duration::from_nanos(now.saturating_sub(sent_at)) < pause
        {
            return None;
        }
        let entry = (calls.run.job, log_entry(calls, index, self.log.so_far(limit)));
        self.live = ((number, index), len, now);
        Some(entry)
    }

    /// Takes back up to `count` calls from the end of a batch, as far as they have not been begun, and queues them.
    pub(in crate::pool) fn take_back(&mut self, number: u32, count: u32, job: &mut PoolJob) {
        let Some(batch) = self.batches.iter_mut().find(|batch| batch.number == number) else { return };
        let taken = self.ledger.take_back(number, batch.calls.run.count, count);
        if taken > 0 {
            let kept = batch.calls.run.count - taken;
            let back = batch.calls.slice(kept, taken);
            batch.calls = batch.calls.slice(0, kept);
            job.push_front(back);
        }
    }

    /// Takes back every call that the sub-worker has not begun.
    pub(in crate::pool) fn take_back_all(&mut self, job: &mut PoolJob) {
        // The last batch first: each goes to the front of the queue.
        let numbers: Vec<_> = self.batches.iter().rev().map(|batch| batch.number).collect();
        numbers.into_iter().for_each(|number| self.take_back(number, u32::MAX, job));
    }

    /// Asks the process, and everything in its process group, to end.
    pub(in crate::pool) fn ask_to_end(&mut self, ending: EndReason, batch: u32, index: u32, now: u64) {
        if self.ending.is_none() {
            self.ending = Some((ending, batch, index));
            self.asked_to_end_at = Some(now);
            self.signal(Signal::TERM);
        }
    }

    /// What it does now.
    pub(in crate::pool) fn doing(&self) -> Doing<'_> {
        for batch in &self.batches {
            match self.ledger.look(batch.number, batch.calls.run.count) {
                None => return Doing::Damaged,
                Some(claim) if claim.finished < claim.next => return Doing::Runs(batch, claim.finished),
                Some(_) => {}
            }
        }
        Doing::Nothing
    }

    /// How many calls of a batch were begun, and how many of these have ended. With a damaged ledger any call that was
    /// not reported may have been begun.
    pub(in crate::pool) fn known(&self, batch: &Batch) -> (u32, u32) {
        let count = batch.calls.run.count;
        let is_damaged = self.ending.is_some_and(|(ending, ..)| ending == EndReason::Damaged);
        match self.ledger.look(batch.number, count).filter(|_| !is_damaged) {
            Some(claim) => {
                let finished = claim.finished.max(batch.reported);
                (claim.next.max(finished), finished)
            }
            None => (count, batch.reported),
        }
    }

    /// The running call: its batch and its index there.
    pub(in crate::pool) fn running(&self) -> Option<(&Batch, u32)> {
        if let Doing::Runs(batch, index) = self.doing() { Some((batch, index)) } else { None }
    }

    /// When the running call was begun, on the monotonic clock: as the ledger says, if that can be.
    pub(in crate::pool) fn begun_at(&self, now: u64) -> u64 {
        let possible = self.started_at..now.saturating_add(AHEAD);
        self.ledger.begun_at().filter(|begun| possible.contains(begun)).unwrap_or(self.heard_at)
    }

    /// Whether a report can be true: it is of the next calls of a batch that the sub-worker has, with outcomes that a
    /// sub-worker may report.
    pub(in crate::pool) fn can_report(&self, report: &Report) -> bool {
        let header = &report.header;
        let Some(batch) = self.batch_of(header.batch) else { return false };
        let left = batch.calls.run.count.saturating_sub(batch.reported);
        header.run.count <= left
            && !header.stored
            && header.run == batch.calls.run.slice(batch.reported, header.run.count)
            && (0..report.len()).all(|index| matches!(report.tag(index), Tag::Ok | Tag::Failed))
            && (!header.batch_done || header.run.count == left)
    }

    /// Ends it at once, because its frames or its ledger say something that cannot be. With `runs` the running call is to
    /// blame; otherwise no call is, because a wrong report may be the fault of a call that has ended.
    pub(in crate::pool) fn end_damaged(&mut self, now: u64, runs: bool) {
        if self.ending.is_none_or(|(ending, ..)| ending != EndReason::Damaged) {
            let first = self.batches.front().map_or((0, 0), |batch| (batch.number, batch.reported));
            self.ending = Some((EndReason::Damaged, first.0, if runs { first.1 } else { u32::MAX }));
            self.asked_to_end_at = Some(now);
        }
        self.signal(Signal::KILL);
    }

    /// Sends a signal to the process and to its group, which it may have left. The number is still its own, because it is
    /// not reaped before its exit event. SIGKILL goes to all processes below it too: they would become orphans.
    pub(in crate::pool) fn signal(&self, signal: Signal) {
        let Some(pid) = pid_of(self.pid) else { return };
        offspring::is_to_end(pid);
        end_group(pid, signal);
        if signal == Signal::KILL {
            end_below(pid);
        }
    }
}

/// The entry of a call's output in the log of its job.
pub(in crate::pool) fn log_entry(calls: &Calls, index: u32, text: LogText) -> LogEntry {
    let (head, dropped, tail) = text.into_parts();
    LogEntry { call: calls.run.first + u64::from(index), attempt: calls.run.attempt, head, dropped, tail }
}

/// The number of a process, as the system takes it.
pub(super) fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
