//! A slot: one sub-worker, its channel, its ledger, its log, and the batches it has.

use std::{
    collections::{HashSet, VecDeque},
    io::IoSlice,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        unix,
    },
    sync::atomic::Ordering,
};

use lithops_core::{
    error::{Error, Result},
    id::JobId,
    process,
    protocol::{self, Calls, FrameReader, Hello, Incoming, Outbox, Program, Report, Role, Tag, frame_header},
};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, Signal},
};
use tokio::{net::UnixStream, sync::mpsc};
use uuid::Uuid;

use super::{
    cause::Ending,
    events::{self, SlotEvent},
    job::Job,
    ledger::Ledger,
    log_pipe::LogPipe,
    nesting, offspring,
};
use crate::{
    clock,
    processes::{end_below, end_group},
};

/// Calls that a sub-worker was given together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u32,
    pub(super) calls: Calls,
    /// How many of them have been reported.
    pub(super) reported: u32,
}

/// What a slot does, as far as can be known.
#[derive(Debug)]
pub(super) enum Doing<'a> {
    /// It runs no call.
    Nothing,
    /// It runs this call of a batch.
    Runs(&'a Batch, u32),
    /// What it shares with the worker says something that cannot be.
    Damaged,
}

/// One sub-worker.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) pid: u32,
    pub(super) ledger: Ledger,
    pub(super) log: LogPipe,
    /// The one it runs, and the next.
    pub(super) batches: VecDeque<Batch>,
    /// Whether the job of its batches was forgotten since: nobody wants to hear of them, not even a job that is
    /// announced again.
    pub(super) disowned: bool,
    /// Whether it has said hello.
    pub(super) ready: bool,
    /// When it was started, on the monotonic clock.
    pub(super) started_at: u64,
    /// When it last was given calls with nothing to do, or reported, on the monotonic clock.
    pub(super) heard_at: u64,
    /// Since when what it shares with the worker says something that cannot be, on the monotonic clock.
    pub(super) damaged_since: Option<u64>,
    /// Why it was asked to end, and because of which call: batch and index.
    pub(super) ending: Option<(Ending, u32, u32)>,
    /// When it was asked to end, on the monotonic clock.
    pub(super) asked_to_end_at: Option<u64>,
    /// Its resident memory when it was last looked at, and when that was.
    pub(super) resident: (u64, u64),
    outbox: Outbox,
    /// Frames that can wait for the next batch: a sub-worker is not woken for them alone.
    deferred: Vec<u8>,
    known_jobs: HashSet<JobId>,
    next_batch: u32,
}

impl Slot {
    /// Starts a sub-worker. It may be given calls at once; it reads them when it is up.
    pub(super) fn start(
        number_of_slot: u64,
        program: &Program,
        secrets: &[u8],
        events: mpsc::UnboundedSender<SlotEvent>,
    ) -> Result<Self> {
        let mark = Uuid::new_v4().into_bytes();
        let (ledger, memory) = Ledger::create().map_err(os)?;
        let (log, output) = LogPipe::create(mark).map_err(os)?;
        let (nested, theirs) = unix::net::UnixStream::pair()?;
        nested.set_nonblocking(true)?;
        let nested = UnixStream::from_std(nested)?;
        // Not the secret of the log: this one is seen by all that a call starts.
        let name = Uuid::new_v4().to_string();
        let (mut child, channel) = process::spawn_marked(program, output, &name)?;
        let (frames, outbox) = match greet(channel, mark, [memory.as_fd(), theirs.as_fd()]) {
            Ok(both) => both,
            Err(error) => {
                // Both only fail when it has ended already, and then there is nothing to do.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let pid = child.id();
        if let Some(pid) = number(pid) {
            offspring::started(pid, &name);
        }
        // It is this program, or one of the same protocol, and has got its descriptors over the same socket.
        outbox.sharing().store(true, Ordering::Relaxed);
        if !secrets.is_empty() {
            outbox.send(secrets);
        }
        tokio::spawn(nesting::listen(number_of_slot, nested, events.clone()));
        tokio::spawn(events::watch(number_of_slot, child, frames, events));
        Ok(Self {
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
            resident: (0, 0),
            outbox,
            deferred: Vec::new(),
            known_jobs: HashSet::new(),
            // Of no batch is a page of zeros.
            next_batch: 1,
        })
    }

    /// The job whose calls it has.
    pub(super) fn job(&self) -> Option<JobId> {
        self.batches.front().filter(|_| !self.disowned).map(|batch| batch.calls.run.job)
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.ending.is_none()
    }

    /// Gives it a batch.
    pub(super) fn give(&mut self, job: &Job, mut calls: Calls) {
        self.disowned &= !self.batches.is_empty();
        if self.batches.is_empty() {
            self.heard_at = clock::monotonic();
        }
        calls.batch = self.next_batch;
        self.next_batch = self.next_batch.wrapping_add(1).max(1);
        self.ledger.open(calls.batch, calls.run.count);
        let mut frames = std::mem::take(&mut self.deferred);
        if self.known_jobs.insert(job.spec.job) {
            frames.extend_from_slice(&frame_header(lithops_core::protocol::FrameKind::Job, job.frame.len()));
            frames.extend_from_slice(&job.frame);
        }
        self.outbox.send_calls(frames, &calls);
        self.batches.push_back(Batch { number: calls.batch, calls, reported: 0 });
    }

    /// Tells it that a job is finished: at once when the job keeps much memory there, else with the next batch.
    pub(super) fn forget(&mut self, job: JobId, frame: &[u8], at_once: bool) {
        if self.known_jobs.remove(&job) {
            self.deferred.extend_from_slice(frame);
            if at_once || self.deferred.len() > 4096 {
                self.outbox.send(&self.deferred);
                self.deferred.clear();
            }
        }
    }

    /// One of its batches.
    pub(super) fn batch_of(&self, number: u32) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.number == number)
    }

    /// Asks it, and everything in its process group, to end.
    pub(super) fn ask_to_end(&mut self, ending: Ending, batch: u32, index: u32, now: u64) {
        if self.ending.is_none() {
            self.ending = Some((ending, batch, index));
            self.asked_to_end_at = Some(now);
            self.signal(Signal::TERM);
        }
    }

    /// What it does.
    pub(super) fn doing(&self) -> Doing<'_> {
        for batch in &self.batches {
            match self.ledger.look(batch.number, batch.calls.run.count) {
                None => return Doing::Damaged,
                Some(claim) if claim.finished < claim.next => return Doing::Runs(batch, claim.finished),
                Some(_) => {}
            }
        }
        Doing::Nothing
    }

    /// How many calls of a batch were begun, and how many of them have ended. Where that cannot be told, all that were
    /// not reported may have been begun.
    pub(super) fn known(&self, batch: &Batch) -> (u32, u32) {
        let count = batch.calls.run.count;
        let is_damaged = self.ending.is_some_and(|(ending, ..)| ending == Ending::Damaged);
        match self.ledger.look(batch.number, count).filter(|_| !is_damaged) {
            Some(claim) => {
                let finished = claim.finished.max(batch.reported);
                (claim.next.max(finished), finished)
            }
            None => (count, batch.reported),
        }
    }

    /// The call that runs: its batch and its index there.
    pub(super) fn running(&self) -> Option<(&Batch, u32)> {
        if let Doing::Runs(batch, index) = self.doing() { Some((batch, index)) } else { None }
    }

    /// When the running call was begun, on the monotonic clock: what it says of that, if it can be.
    pub(super) fn begun_at(&self, now: u64) -> u64 {
        // It may have begun since the clock was read.
        let possible = self.started_at..now.saturating_add(1_000_000_000);
        self.ledger.begun_at().filter(|begun| possible.contains(begun)).unwrap_or(self.heard_at)
    }

    /// Whether a report can be: of the next calls of a batch it has, with outcomes that are a sub-worker's to tell.
    pub(super) fn can_report(&self, report: &Report) -> bool {
        let header = &report.header;
        let Some(batch) = self.batch_of(header.batch) else { return false };
        let left = batch.calls.run.count.saturating_sub(batch.reported);
        header.run.count <= left
            && !header.stored
            && header.run == batch.calls.run.slice(batch.reported, header.run.count)
            && (0..report.len()).all(|index| matches!(report.tag(index), Tag::Ok | Tag::Failed))
            && (!header.batch_done || header.run.count == left)
    }

    /// Ends it at once: it says what cannot be, or what it shares with the worker does. The call is to blame that runs,
    /// if one does; what comes with a report may be the fault of one that has ended.
    pub(super) fn end_damaged(&mut self, now: u64, runs: bool) {
        if self.ending.is_none_or(|(ending, ..)| ending != Ending::Damaged) {
            let first = self.batches.front().map_or((0, 0), |batch| (batch.number, batch.reported));
            self.ending = Some((Ending::Damaged, first.0, if runs { first.1 } else { u32::MAX }));
            self.asked_to_end_at = Some(now);
        }
        self.signal(Signal::KILL);
    }

    /// Sends a signal to it and to its process group, which it may have left. It is not reaped before its exit event, so
    /// that the number is its own. What is killed takes with it all that is below it.
    pub(super) fn signal(&self, signal: Signal) {
        let Some(pid) = number(self.pid) else { return };
        offspring::is_to_end(pid);
        end_group(pid, signal);
        if signal == Signal::KILL {
            end_below(pid);
        }
    }
}

/// Says hello, with the descriptors that a sub-worker needs.
fn greet(
    channel: unix::net::UnixStream,
    mark: [u8; 16],
    descriptors: [BorrowedFd<'_>; 2],
) -> Result<(FrameReader<Incoming>, Outbox)> {
    let mut hello = Vec::new();
    Hello::of(Role::Worker).with_log_mark(mark).write(&mut hello)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    // A new socket takes a few hundred bytes at once.
    sendmsg(&channel, &[IoSlice::new(&hello)], &mut control, SendFlags::NOSIGNAL).map_err(os)?;
    protocol::channel(channel)
}

fn number(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn os(error: rustix::io::Errno) -> Error {
    std::io::Error::from(error).into()
}
