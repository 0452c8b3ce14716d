//! The runtime that drives jobs. It has a thread of its own, so that a program needs no runtime and
//! can have any.

use std::{
    cell::Cell,
    future::Future,
    mem,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use async_task::Runnable;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::coop::unconstrained,
};

use crate::{
    error::{Error, ErrorKind, Result},
    fork, threads,
};

/// How long a thread for blocking work is kept without work. If no further thread can be started,
/// blocking work needs this one.
const KEPT: Duration = Duration::from_secs(3600);

/// The runtime that drives jobs, once it is started.
static DRIVER: OnceLock<Runtime> = OnceLock::new();

/// The runtime that drives jobs. The first call starts it.
///
/// # Errors
/// When no thread can be started, or this process is a fork of the one that started the runtime.
pub(crate) fn start() -> Result<&'static Handle> {
    static STARTING: Mutex<()> = Mutex::new(());
    fork::refuse()?;
    if let Some(driver) = DRIVER.get() {
        return Ok(driver.handle());
    }
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if DRIVER.get().is_none() {
        let driver = with_threads(1, "lithops", threads::meet_limits)?;
        fork::note_origin();
        // The lock is held, so that no other thread sets the runtime.
        let _ = DRIVER.set(driver);
    }
    DRIVER.get().map(Runtime::handle).ok_or_else(|| Error::new(ErrorKind::Unexpected, "there is no driver"))
}

/// The runtime that drives jobs, for callers that have an executor, which proves that the runtime
/// could be started.
pub(crate) fn driver() -> &'static Handle {
    DRIVER.get().map_or_else(|| start().expect("an executor could be built"), Runtime::handle)
}

/// A runtime with this many worker threads and one thread for blocking work. Each thread first calls
/// `begin`. Threads are checked first, because Tokio panics or loses tasks when they cannot be started.
fn with_threads(workers: usize, name: &str, begin: fn()) -> Result<Runtime> {
    threads::could_start(workers + 1).map_err(threads::refused)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name(name)
        .thread_keep_alive(KEPT)
        .on_thread_start(begin)
        .enable_all()
        .build()?;
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

thread_local! {
    /// Whether [`start_here`] is polling a task on this thread.
    static STARTING: Cell<bool> = const { Cell::new(false) };
    /// The task, if it woke itself during that poll.
    static AGAIN: Cell<Option<Runnable>> = const { Cell::new(None) };
}

/// Sets [`STARTING`] while it exists, and restores it also after a panic.
struct Starting(bool);

impl Starting {
    fn here(starting: bool) -> Self {
        Self(STARTING.replace(starting))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.set(self.0);
    }
}

/// The most polls of a task on the caller's thread. A task that wakes itself more often is not
/// about to wait, and continues on the runtime.
const TURNS: usize = 8;

/// Starts a task of the job runtime on this thread. The task runs here until it first waits, and
/// then on the runtime.
pub(crate) fn start_here(task: impl Future<Output = ()> + Send + 'static) {
    let schedule = |runnable: Runnable| {
        if STARTING.get() {
            AGAIN.set(Some(runnable));
        } else {
            driver().spawn(async move { runnable.run() });
        }
    };
    // The task must not count against Tokio's budget for a task in a row. A caller that waits for
    // many short calls has used up that budget, so that this task would be told to yield.
    let (runnable, task) = async_task::spawn(unconstrained(task), schedule);
    task.detach();
    let _inside = driver().enter();
    let mut next = Some(runnable);
    for turn in 1..=TURNS {
        let Some(runnable) = next.take() else { return };
        let starting = Starting::here(turn < TURNS);
        runnable.run();
        drop(starting);
        next = AGAIN.take();
    }
}

/// Whether the current thread belongs to the job runtime.
pub(crate) fn is_driver() -> bool {
    Handle::try_current().is_ok_and(|current| current.id() == driver().id())
}

/// Runs a future to its end on this thread, as `#[lithops::main]` does with an `async fn main`.
#[expect(clippy::exit, clippy::print_stderr, clippy::disallowed_methods, reason = "main cannot be run")]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = of_main().unwrap_or_else(|error| {
        eprintln!("lithops: {error}");
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
        std::process::exit(1)
    });
    let output = runtime.block_on(future);
    if fork::is_copy() {
        // Dropping the runtime would wait for threads that only the parent process has.
        mem::forget(runtime);
    }
    output
}

/// The runtime of `main`. It has no threads of its own if they cannot be started, so that `main`
/// gets that error when it builds an executor.
fn of_main() -> Result<Runtime> {
    const VARIABLE: &str = "TOKIO_WORKER_THREADS";
    let workers = match std::env::var_os(VARIABLE) {
        None => thread::available_parallelism().map_or(1, usize::from),
        Some(value) => {
            let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
            number.ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, format!("`{VARIABLE}` is {value:?}"))
                    .with_hint("write a number of threads from 1 up, or leave it out")
            })?
        }
    };
    match with_threads(workers, "tokio-rt-worker", || ()) {
        Ok(runtime) => Ok(runtime),
        Err(_) => Ok(Builder::new_current_thread().enable_all().build()?),
    }
}
