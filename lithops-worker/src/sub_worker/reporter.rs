//! [`Reporter`]: outcomes on their way to the worker. They are sent together, and not kept for long.

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

/// How long outcomes of short calls are kept to be sent together: a user who waits for the first does not notice it, and
/// thousands of short calls end in it.
const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// The stack of the keeper, which makes few and flat calls.
const STACK: usize = 64 << 10;
/// Outcomes are sent when they have this many bytes: more together would cost memory and save no system calls to speak
/// of.
const FULL: usize = 64 << 10;
/// After this many looks without outcomes the keeper sleeps until it is woken: an idle process must not wake up.
const QUIET_LOOKS: u32 = 200;

/// Outcomes on their way to the worker.
///
/// A thread of its own, the keeper, sends outcomes that wait for too long behind a long call. It also ends the process and
/// its group when the worker is gone, because user code must not run on unseen.
#[derive(Debug)]
pub(super) struct Reporter {
    shared: Arc<SharedReporter>,
}

#[derive(Debug)]
struct SharedReporter {
    channel: Arc<UnixStream>,
    /// The identities of channel and `wake`: user code may close their descriptors.
    identities: [Option<Identity>; 2],
    /// The mark in the environment of all processes that calls start.
    mark: Option<String>,
    state: Mutex<Collected>,
    /// Whether the keeper looks at the state from time to time.
    watched: AtomicBool,
    wake: OwnedFd,
}

#[derive(Debug)]
struct Collected {
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
    /// SharedReporter memory for long values.
    regions: Regions,
}

impl Reporter {
    pub(super) fn start(channel: &Arc<UnixStream>) -> io::Result<Self> {
        let mark = std::env::var(MARK_VARIABLE).ok();
        let state = Collected {
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
        let shared = Arc::new(SharedReporter {
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
            .stack_size(STACK)
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
        // Under the lock, so that the keeper cannot go to sleep at the same moment.
        if calls.run.count > 1 && !self.shared.watched.swap(true, Ordering::AcqRel) {
            // It fails only when the counter overflows, after more wake-ups than there will ever be.
            let _ = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes());
        }
        state.calls = Some(calls);
        state.sent = 0;
    }

    /// Adds an outcome; times are in nanoseconds since the Unix epoch. Returns whether outcomes were sent.
    pub(super) fn add(&self, tag: Tag, value: &[u8], started: u64, ended: u64) -> bool {
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
            return true;
        }
        if state.builder.is_empty() {
            state.oldest = clock::monotonic();
        }
        state.builder.value().extend_from_slice(value);
        state.builder.end_call(tag, started, ended);
        let is_full = state.builder.bytes() > FULL;
        if is_full {
            state.send(false);
        }
        is_full
    }

    /// Sends the outcomes that are left of the batch. The batch is done, or is broken off before some of its calls.
    pub(super) fn end_batch(&self, is_done: bool) {
        let mut state = self.shared.lock();
        state.send(is_done);
        state.calls = None;
    }
}

impl SharedReporter {
    fn has_channel(&self) -> bool {
        is_still(&self.channel, self.identities[0])
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_still(descriptor: &impl AsFd, identity: Option<Identity>) -> bool {
    identity.is_some() && Identity::of(descriptor) == identity
}

impl Collected {
    fn send(&mut self, batch_done: bool) {
        self.send_with(&[], batch_done);
    }

    /// Sends the collected outcomes. The last value, `value`, was not copied to the others.
    fn send_with(&mut self, value: &[u8], batch_done: bool) {
        let Some(header) = self.next_header(batch_done) else { return };
        self.frame.clear();
        self.builder.drain_into(&header, &mut self.frame);
        if write_both(&self.channel, &self.frame, value).is_err() {
            end_with_worker(self.mark.as_deref());
        }
    }

    /// Sends the collected outcomes. The last value is lent to the worker, and by the worker to its client.
    fn send_lent(&mut self, loan: &Loan) {
        let Some(header) = self.next_header(false) else { return };
        self.frame.clear();
        self.builder.drain_head_into(&header, &mut self.frame);
        if send_lent(&self.channel, FrameKind::Report, &self.frame, loan).is_err() {
            end_with_worker(self.mark.as_deref());
        }
    }

    /// The header of the collected outcomes, which are sent now.
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

/// The loop of the keeper: it looks at waiting outcomes now and then while there are any, and always watches the
/// worker.
fn keep(shared: &SharedReporter) {
    let worker = getppid();
    let mut quiet = 0;
    let mut is_cut_off = false;
    loop {
        if is_cut_off {
            // User code has closed a descriptor that is watched. The end of the worker still shows by a new parent.
            thread::sleep(LONGEST_WAIT);
            if getppid() != worker {
                end_with_worker(shared.mark.as_deref());
            }
            continue;
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: LONGEST_WAIT.as_nanos() as i64 };
        let timeout = shared.watched.load(Ordering::Acquire).then_some(&pause);
        let mut watched = [
            PollFd::from_borrowed_fd(shared.channel.as_fd(), PollFlags::RDHUP),
            PollFd::from_borrowed_fd(shared.wake.as_fd(), PollFlags::IN),
        ];
        // A signal may interrupt the wait: then no event is set, and the loop goes on.
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
            // Never in the middle of a batch: only the next batch wakes the keeper.
            if quiet > QUIET_LOOKS && state.calls.is_none() {
                shared.watched.store(false, Ordering::Release);
            }
        } else {
            quiet = 0;
            let waits = Duration::from_nanos(clock::monotonic().saturating_sub(state.oldest)) > LONGEST_WAIT;
            if waits && shared.has_channel() {
                state.send(false);
            }
        }
    }
}

/// Writes `first` and then `second`, in as few system calls as the socket allows.
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

/// Ends this process and all that it has started, because the worker is gone.
fn end_with_worker(mark: Option<&str>) -> ! {
    end_below(getpid());
    // Orphans of a call are not below this process any more.
    mark.inspect(|mark| end_marked(mark));
    // The group was made with this process and bears its number, which no other can have while it lives. The process
    // ends also if it has left the group.
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
