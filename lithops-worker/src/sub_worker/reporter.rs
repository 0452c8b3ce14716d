//! [`Reporter`]: outcomes on their way to the worker, sent together but never kept for long.

use std::{
    io::{self, IoSlice, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use lithops_core::{
    memory::{LONG, Loan, Regions},
    process::MARK_VARIABLE,
    protocol::{Calls, FrameKind, ReportBuilder, ReportHeader, Tag, send_lent},
};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    process::{Signal, getpid, getppid},
};

use super::{identity::Identity, run_delay::RunDelay};
use crate::{
    clock,
    exit::leave_at_once,
    processes::{end_below, end_group, end_marked},
};

/// Outcomes of short calls are sent together, but not kept for longer than about this.
const PATIENCE: Duration = Duration::from_millis(5);
/// Outcomes are sent when they have this many bytes.
const FULL: usize = 64 << 10;
/// After so many looks without outcomes the keeper sleeps until it is woken.
const QUIET_LOOKS: u32 = 200;

/// Outcomes on their way to the worker.
///
/// A thread of its own, the keeper, sends what waits for too long behind a long call, and ends the process and its
/// group when the worker goes: whatever the user's code is doing, it does not run on unseen.
#[derive(Debug)]
pub(super) struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    channel: Arc<UnixStream>,
    /// What the channel and the way to wake the keeper are, should user code close their descriptors.
    identities: [Option<Identity>; 2],
    /// What everything is marked with that calls start.
    mark: Option<String>,
    state: Mutex<State>,
    /// Whether the keeper looks at the state from time to time.
    watched: AtomicBool,
    wake: OwnedFd,
}

#[derive(Debug)]
struct State {
    channel: Arc<UnixStream>,
    mark: Option<String>,
    builder: ReportBuilder,
    /// The calls whose outcomes are collected, and how many of them were sent before.
    calls: Option<Calls>,
    sent: u32,
    oldest: u64,
    cpu: Duration,
    delay: RunDelay,
    frame: Vec<u8>,
    /// For long values.
    regions: Regions,
}

impl Reporter {
    pub(super) fn start(channel: &Arc<UnixStream>) -> io::Result<Self> {
        let mark = std::env::var(MARK_VARIABLE).ok();
        let state = State {
            channel: Arc::clone(channel),
            mark: mark.clone(),
            builder: ReportBuilder::default(),
            calls: None,
            sent: 0,
            oldest: 0,
            cpu: clock::process_cpu(),
            delay: RunDelay::of_this_thread(),
            frame: Vec::new(),
            regions: Regions::shared(),
        };
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared {
            channel: Arc::clone(channel),
            identities: [Identity::of(channel), Identity::of(&wake)],
            mark,
            state: Mutex::new(state),
            watched: AtomicBool::new(false),
            wake,
        });
        let keeper = Arc::clone(&shared);
        thread::Builder::new()
            .name("lithops-keeper".into())
            .stack_size(64 << 10)
            .spawn(move || keep(&keeper))?;
        Ok(Self { shared })
    }

    /// Whether the channel's descriptor is still the channel's: user code may have closed it.
    pub(super) fn has_channel(&self) -> bool {
        self.shared.has_channel()
    }

    /// Says which calls the next outcomes are of.
    pub(super) fn begin_batch(&self, calls: Calls) {
        let mut state = self.shared.lock();
        // Under the lock, so that the keeper does not go to sleep at the same moment.
        if calls.run.count > 1 && !self.shared.watched.swap(true, Ordering::AcqRel) {
            // The counter of an eventfd only overflows after more wake-ups than there will be.
            let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        }
        state.calls = Some(calls);
        state.sent = 0;
    }

    /// Adds an outcome; times are in nanoseconds since the Unix epoch.
    pub(super) fn add(&self, tag: Tag, value: &[u8], started: u64, ended: u64) {
        let mut state = self.shared.lock();
        if value.len() > FULL {
            if !state.builder.is_empty() {
                state.send(false);
            }
            state.builder.end_call_of(value.len(), tag, started, ended);
            if value.len() > LONG
                && let Some(loan) = state.regions.lend(value)
            {
                state.send_lent(&loan);
            } else {
                state.send_with(value, false);
            }
            return;
        }
        if state.builder.is_empty() {
            state.oldest = clock::monotonic();
        }
        state.builder.value().extend_from_slice(value);
        state.builder.end_call(tag, started, ended);
        if state.builder.bytes() > FULL {
            state.send(false);
        }
    }

    /// Sends what is left of the batch, which is done, or broken off with calls that were not begun.
    pub(super) fn end_batch(&self, is_done: bool) {
        let mut state = self.shared.lock();
        state.send(is_done);
        state.calls = None;
    }
}

impl Shared {
    fn has_channel(&self) -> bool {
        is_still(&self.channel, self.identities[0])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_still(descriptor: &impl AsFd, identity: Option<Identity>) -> bool {
    identity.is_some() && Identity::of(descriptor) == identity
}

impl State {
    fn send(&mut self, batch_done: bool) {
        self.send_with(&[], batch_done);
    }

    /// Sends what was collected; the last value may be one that was not copied.
    fn send_with(&mut self, value: &[u8], batch_done: bool) {
        let Some(header) = self.next_header(batch_done) else { return };
        self.frame.clear();
        self.builder.drain_into(&header, &mut self.frame);
        if write_both(&self.channel, &self.frame, value).is_err() {
            end_with_worker(self.mark.as_deref());
        }
    }

    /// Sends what was collected; the last value is lent to the worker, and by it to its client.
    fn send_lent(&mut self, loan: &Loan) {
        let Some(header) = self.next_header(false) else { return };
        self.frame.clear();
        self.builder.drain_head_into(&header, &mut self.frame);
        if send_lent(&self.channel, FrameKind::Report, &self.frame, loan).is_err() {
            end_with_worker(self.mark.as_deref());
        }
    }

    /// The header of what was collected, which is sent now.
    fn next_header(&mut self, batch_done: bool) -> Option<ReportHeader> {
        let calls = self.calls.as_ref()?;
        let count = u32::try_from(self.builder.len()).unwrap_or(u32::MAX);
        let cpu = clock::process_cpu();
        let header = ReportHeader {
            run: calls.run.slice(self.sent, count),
            batch: calls.batch,
            batch_done,
            stored: false,
            pid: std::process::id(),
            queued_at: calls.queued_at,
            cpu: cpu.saturating_sub(self.cpu),
            peak_memory: peak_memory(),
            delay: self.delay.since_last(),
        };
        self.sent += count;
        self.cpu = cpu;
        Some(header)
    }
}

/// The keeper's life: look at waiting outcomes now and then while there are any, and watch the worker always.
fn keep(shared: &Shared) {
    let worker = getppid();
    let mut quiet = 0;
    let mut is_cut_off = false;
    loop {
        if is_cut_off {
            // User code has closed what is watched. All that can still be seen is whose child this process is.
            thread::sleep(PATIENCE);
            if getppid() != worker {
                end_with_worker(shared.mark.as_deref());
            }
            continue;
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: PATIENCE.as_nanos() as i64 };
        let timeout = shared.watched.load(Ordering::Acquire).then_some(&pause);
        let mut watched = [
            PollFd::from_borrowed_fd(shared.channel.as_fd(), PollFlags::RDHUP),
            PollFd::from_borrowed_fd(shared.wake.as_fd(), PollFlags::IN),
        ];
        // An interrupted wait is a short one.
        let _ = poll(&mut watched, timeout);
        let (channel, wake) = (watched[0].revents(), watched[1].revents());
        if !channel.is_empty() {
            is_cut_off = channel.contains(PollFlags::NVAL) || !shared.has_channel();
            if !is_cut_off {
                end_with_worker(shared.mark.as_deref());
            }
        }
        if !wake.is_empty() {
            is_cut_off |= !is_still(&shared.wake, shared.identities[1]);
            if !is_cut_off {
                let _ = rustix::io::read(&shared.wake, &mut [0u8; 8]);
            }
            quiet = 0;
        }
        if is_cut_off {
            continue;
        }
        let mut state = shared.lock();
        if state.builder.is_empty() {
            quiet += 1;
            // Never in the middle of a batch: nobody would wake it for the outcomes to come.
            if quiet > QUIET_LOOKS && state.calls.is_none() {
                shared.watched.store(false, Ordering::Release);
            }
        } else {
            quiet = 0;
            let waits = Duration::from_nanos(clock::monotonic().saturating_sub(state.oldest)) > PATIENCE;
            if waits && shared.has_channel() {
                state.send(false);
            }
        }
    }
}

/// Writes one after the other, in as few steps as the socket allows.
fn write_both(mut channel: &UnixStream, first: &[u8], second: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < first.len() && !second.is_empty() {
        match channel.write_vectored(&[IoSlice::new(&first[sent..]), IoSlice::new(second)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if second.is_empty() {
        return channel.write_all(first);
    }
    channel.write_all(&second[sent - first.len()..])
}

/// The worker is gone: nothing of this process or of what it has started may run on.
fn end_with_worker(mark: Option<&str>) -> ! {
    end_below(getpid());
    // What has lost its parent is not below this process.
    mark.inspect(|mark| end_marked(mark));
    // The group was made with this process, and nobody else can have its number. Should it have left its group, it ends
    // all the same.
    end_group(getpid(), Signal::KILL);
    leave_at_once(1)
}

/// The highest resident memory of this process so far, in bytes.
#[expect(unsafe_code, reason = "there is no safe binding of getrusage")]
fn peak_memory() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to writable memory of the right size.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
        return 0;
    }
    // SAFETY: the call succeeded and has filled it; it was zeroed before in any case.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024
}
