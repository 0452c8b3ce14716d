//! Threads that run users' iterators, and a check whether threads can be started.

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

/// The work of a thread. If the work panics, the thread ends.
type Work = Box<dyn FnOnce() + Send>;

/// How long a thread without work is kept.
const IDLE_FOR: Duration = Duration::from_secs(10);
/// The most threads without work that are kept.
const MOST_IDLE: usize = 8;
/// The stack size of a thread in bytes, the same as that of a program's main thread. Untouched
/// pages take no memory.
const STACK: usize = 8 << 20;

/// The threads without work, each with its number.
static IDLE: Mutex<Vec<(u64, Sender<Work>)>> = Mutex::new(Vec::new());

/// Runs `work` on a thread of its own. There is no limit on the number of threads, because any of
/// them may block.
///
/// # Errors
/// When no thread can be started.
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

/// Runs one work after the other, and ends after [`IDLE_FOR`] without work.
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
                // Another thread has just taken this one from the list, so that work is about to come.
                receiver.recv().ok()
            }
            next => next.ok(),
        };
        let Some(next) = next else { return };
        work = next;
    }
}

/// Whether this many threads can run at once. The threads are gone when the function returns.
///
/// # Errors
/// The error of the operating system.
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
        // The system counts a thread against the limit until its folder in `/proc` is gone.
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

/// The error when no thread can be started.
pub(crate) fn refused(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("no thread could be started: {error}"))
        .with_hint(
            "raise the limit on the processes and threads of this user (`ulimit -u`) or of its container",
        )
        .with_source(error)
}

/// Makes a write beyond the allowed file size (`ulimit -f`) an error on this thread, which
/// otherwise ends the program. Processes that are started from this thread set their own signals.
#[expect(unsafe_code, reason = "there is no safe binding of pthread_sigmask")]
pub(crate) fn meet_limits() {
    let mut signals = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointers refer to a set of the right size, which the first call initializes.
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
                // The thread blocks until the sender is dropped.
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
