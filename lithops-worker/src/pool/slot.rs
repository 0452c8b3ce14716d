//! A slot: one sub-worker, its channel, its ledger, its log, and the batches it has.

use std::{
    collections::{HashSet, VecDeque},
    io::IoSlice,
    mem::MaybeUninit,
    os::{fd::AsFd, unix},
    sync::atomic::Ordering,
};

use lithops_core::{
    error::{Error, Result},
    id::JobId,
    process,
    protocol::{self, Calls, Hello, Outbox, Program, Role, frame_header},
};
use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, Signal, kill_process_group},
};
use tokio::{net::UnixStream, sync::mpsc};
use uuid::Uuid;

use super::{
    cause::Ending,
    events::{self, SlotEvent},
    job::Job,
    ledger::Ledger,
    log_pipe::LogPipe,
    nesting,
};
use crate::clock;

/// Calls that a sub-worker was given together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u32,
    pub(super) calls: Calls,
    /// How many of them have been reported.
    pub(super) reported: u32,
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
        number: u64,
        program: &Program,
        secrets: &[u8],
        events: mpsc::UnboundedSender<SlotEvent>,
    ) -> Result<Self> {
        let mark = Uuid::new_v4().into_bytes();
        let (ledger, memory) = Ledger::create().map_err(os)?;
        let (log, output) = LogPipe::create(mark).map_err(os)?;
        let (nested, theirs) = unix::net::UnixStream::pair()?;
        let (child, channel) = process::spawn(program, Role::SubWorker, output)?;
        let pid = child.id();

        let mut hello = Vec::new();
        Hello::of(Role::Worker).with_log_mark(mark).write(&mut hello)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [memory.as_fd(), theirs.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // A new socket takes a few hundred bytes at once.
        sendmsg(&channel, &[IoSlice::new(&hello)], &mut control, SendFlags::NOSIGNAL).map_err(os)?;

        let (frames, outbox) = protocol::channel(channel)?;
        // It is this program, or one of the same protocol, and has got its descriptors over the same socket.
        outbox.sharing().store(true, Ordering::Relaxed);
        if !secrets.is_empty() {
            outbox.send(secrets);
        }
        nested.set_nonblocking(true)?;
        tokio::spawn(nesting::listen(number, UnixStream::from_std(nested)?, events.clone()));
        tokio::spawn(events::watch(number, child, frames, events));
        Ok(Self {
            pid,
            ledger,
            log,
            batches: VecDeque::new(),
            disowned: false,
            ready: false,
            started_at: clock::monotonic(),
            ending: None,
            asked_to_end_at: None,
            resident: (0, 0),
            outbox,
            deferred: Vec::new(),
            known_jobs: HashSet::new(),
            next_batch: 0,
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
        calls.batch = self.next_batch;
        self.next_batch = self.next_batch.wrapping_add(1);
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

    /// The call that runs: its batch and its index there.
    pub(super) fn running(&self) -> Option<(&Batch, u32)> {
        self.batches.iter().find_map(|batch| {
            let claim = self.ledger.look(batch.number);
            (claim.finished < claim.next).then_some((batch, claim.finished))
        })
    }

    /// Sends a signal to its process group. It is not reaped before its exit event, so that the number is its own.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself meanwhile.
            let _ = kill_process_group(group, signal);
        }
    }
}

fn os(error: rustix::io::Errno) -> Error {
    std::io::Error::from(error).into()
}
