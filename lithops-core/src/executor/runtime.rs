//! The runtime that drives jobs: one thread of its own, so that a program's own runtime, or none, does not matter.

use std::{
    cell::Cell,
    future::Future,
    sync::{LazyLock, OnceLock},
};

use async_task::Runnable;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::coop::unconstrained,
};

static DRIVER: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("lithops")
        .enable_all()
        .build()
        .expect("the operating system gives a thread and an event queue")
});

/// The runtime that drives jobs.
pub(crate) fn driver() -> &'static Handle {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    HANDLE.get_or_init(|| DRIVER.handle().clone())
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
pub fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the operating system gives threads and an event queue")
        .block_on(future)
}
