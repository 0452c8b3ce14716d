//! Threads of the library: for what users' iterators do, and whether there can be any.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use crate::error::{Error, ErrorKind};

/// What a thread has to do. Should it panic, the thread ends.
type Work = Box<dyn FnOnce() + Send>;

/// A thread that has nothing to do stays for this long.
const IDLE_FOR: Duration = Duration::from_secs(10);
/// But not more than this many.
const MOST_IDLE: usize = 8;
/// As much as a program's first thread has. What is not touched takes no memory.
const STACK: usize = 8 << 20;

/// The threads that have nothing to do, by number.
static IDLE: Mutex<Vec<(u64, Sender<Work>)>> = Mutex::new(Vec::new());

/// Does `work` on a thread of its own, however many others are at work: each may wait for whatever it wants.
///
/// # Errors
/// No thread can be had.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut work: Work = Box::new(work);
    loop {
        let idle = idle().pop();
        let Some((_, thread)) = idle else { break };
        match thread.send(work) {
            Ok(()) => return Ok(()),
            Err(back) => work = back.0,
        }
    }
    let thread = thread::Builder::new().name("lithops-inputs".into()).stack_size(STACK);
    thread.spawn(move || serve(work)).map(drop)
}

fn idle() -> MutexGuard<'static, Vec<(u64, Sender<Work>)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(first: Work) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut work = first;
    loop {
        work();
        let (number, (sender, receiver)) = (NUMBER.fetch_add(1, Ordering::Relaxed), channel());
        {
            let mut idle = idle();
            if idle.len() >= MOST_IDLE {
                return;
            }
            idle.push((number, sender));
        }
        let next = match receiver.recv_timeout(IDLE_FOR) {
            Err(RecvTimeoutError::Timeout) => {
                let mut idle = idle();
                let before = idle.len();
                idle.retain(|(other, _)| *other != number);
                if idle.len() < before {
                    return;
                }
                drop(idle);
                // Somebody has just chosen it.
                receiver.recv().ok()
            }
            next => next.ok(),
        };
        let Some(next) = next else { return };
        work = next;
    }
}

/// Whether so many threads can be had at once. They are gone again afterwards.
///
/// # Errors
/// That of the operating system.
pub(crate) fn could_start(count: usize) -> io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let mut threads = Vec::new();
    let mut refused = None;
    for _ in 0..count {
        let gate = Arc::clone(&gate);
        let thread = thread::Builder::new().name("lithops-probe".into()).stack_size(64 << 10);
        let thread = thread.spawn(move || {
            drop(gate.lock());
            fs::read_link("/proc/thread-self").ok()
        });
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(closed);
    for place in threads.into_iter().filter_map(|thread| thread.join().ok().flatten()) {
        // Until then the system counts it.
        let place = Path::new("/proc").join(place);
        for _ in 0..1000 {
            if !place.exists() {
                break;
            }
            thread::sleep(Duration::from_micros(50));
        }
    }
    refused.map_or(Ok(()), Err)
}

/// What to say when no thread can be had.
pub(crate) fn refused(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("no thread could be started: {error}"))
        .with_hint(
            "raise the limit on the processes and threads of this user (`ulimit -u`) or of its container",
        )
        .with_source(error)
}

/// On this thread a file that would become larger than the system allows (`ulimit -f`) is an error, and not the end of the
/// program. Processes that are started from here set their own signals.
#[expect(unsafe_code, reason = "there is no safe binding of pthread_sigmask")]
pub(crate) fn meet_limits() {
    let mut signals = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointers are to a set of the right size, which the first call fills.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_wait_the_next_one_begins() {
        let (begun, begins) = channel();
        let mut waiting = Vec::new();
        for number in 0..600 {
            let (go_on, wait) = channel::<()>();
            let begun = begun.clone();
            spawn(move || {
                begun.send(number).expect("it is waited for");
                // Until its sender goes.
                let _ = wait.recv();
            })
            .expect("a thread");
            waiting.push(go_on);
        }
        let mut seen: Vec<i32> = begins.iter().take(600).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..600).collect::<Vec<_>>());
        drop(waiting);
    }

    #[test]
    fn threads_can_be_had_here() {
        could_start(3).expect("threads");
    }
}
