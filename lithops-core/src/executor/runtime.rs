//! The runtime that drives jobs: one thread of its own, so that a program's own runtime, or none, does not matter.

use std::{
    future::Future,
    sync::{LazyLock, OnceLock},
};

use tokio::runtime::{Builder, Handle, Runtime};

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
