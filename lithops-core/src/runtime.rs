//! The runtime that drives jobs: one thread of its own, so that a program's own runtime, or none, does not matter.

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

/// A thread for what blocks stays as long as this without work: where no further thread can be had, what blocks waits
/// for this one.
const KEPT: Duration = Duration::from_secs(3600);

static DRIVER: OnceLock<Runtime> = OnceLock::new();

/// The runtime that drives jobs; the first time it is started.
///
/// # Errors
/// No thread can be had, or this is a fork of the process that has started it.
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
        // Nobody else sets it.
        let _ = DRIVER.set(driver);
    }
    DRIVER.get().map(Runtime::handle).ok_or_else(|| Error::new(ErrorKind::Unexpected, "there is no driver"))
}

/// The same, where an executor has been built.
pub(crate) fn driver() -> &'static Handle {
    DRIVER.get().map_or_else(|| start().expect("an executor could be built"), Runtime::handle)
}

/// A runtime with so many threads, and one for what blocks; each begins with `begin`. The library that makes it would
/// panic, or lose tasks, where they cannot be had.
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
    /// Whether a task is being started on this thread, and the task, should it wake itself.
    static STARTING: Cell<bool> = const { Cell::new(false) };
    static AGAIN: Cell<Option<Runnable>> = const { Cell::new(None) };
}

/// A task is being started on this thread as long as this is there, also when it panics.
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

/// A task that wakes itself more often than this is not about to wait.
const TURNS: usize = 8;

/// Starts a task of that runtime on this thread: it runs here until it has to wait for something, and then there.
pub(crate) fn start_here(task: impl Future<Output = ()> + Send + 'static) {
    let schedule = |runnable: Runnable| {
        if STARTING.get() {
            AGAIN.set(Some(runnable));
        } else {
            driver().spawn(async move { runnable.run() });
        }
    };
    // Whoever waits for one short call after the other uses up what a task of its own runtime may do in a row, and this
    // one would be told to yield.
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

/// Whether this thread drives jobs.
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
        // It would wait for threads that only the other process has.
        mem::forget(runtime);
    }
    output
}

/// The runtime of `main`: without threads where they cannot be had, so that `main` itself is told of it when it builds
/// an executor.
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
