//! [`Mode`]: the async and the blocking form of the same API, written once.

use std::{
    fmt::Debug,
    future::Future,
    pin::pin,
    sync::mpsc::channel,
    task::{Context, Waker},
};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, task::coop::consume_budget};

use crate::{
    error::{Error, ErrorKind, Result},
    fork, runtime, threads,
};

/// How the methods of an executor return their results: as futures ([`Async`]) or directly ([`Blocking`]).
pub trait Mode: Debug + Copy + Send + Sync + 'static {
    /// What a method returns: a future of the result, or the result.
    type Out<T: Send + 'static>;

    /// Runs an operation: as a future, or to its end on this thread.
    fn run<T, F>(operation: F) -> Self::Out<Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static;
}

/// Methods return futures, which need no particular async runtime.
#[derive(Debug, Clone, Copy)]
pub struct Async;

/// Methods return results, and block the thread until they have them.
#[derive(Debug, Clone, Copy)]
pub struct Blocking;

impl Mode for Async {
    type Out<T: Send + 'static> = BoxFuture<'static, T>;

    fn run<T, F>(operation: F) -> Self::Out<Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Box::pin(async move {
            runtime::start()?;
            operation.await
        })
    }
}

impl Mode for Blocking {
    type Out<T: Send + 'static> = T;

    fn run<T, F>(operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        block_on(operation)?
    }
}

/// Runs a future of the library to its end while this thread blocks.
///
/// # Errors
/// `InvalidInput`, where an async runtime does not allow this thread to block.
pub(crate) fn block_on<T, F>(operation: F) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    refuse_inside_runtime()?;
    let driver = runtime::start()?;
    if Handle::try_current().is_err() {
        return Ok(driver.block_on(operation));
    }
    // `block_on` panics on a thread of another runtime, even where that thread may block; so another thread
    // runs the future.
    let (sender, result) = channel();
    let run = move || {
        // The receiver below waits until this is sent.
        let _ = sender.send(driver.block_on(operation));
    };
    threads::spawn(run).map_err(threads::refused)?;
    result.recv().map_err(|_| Error::new(ErrorKind::Unexpected, "the operation has panicked"))
}

/// Refuses to block a thread that polls the futures of an async runtime, which would stall the program or
/// make it panic. Blocking is allowed where the runtime allows it, as in `spawn_blocking` and
/// `block_in_place`.
///
/// # Errors
/// `InvalidInput` on such a thread; or this process is a fork.
pub(crate) fn refuse_inside_runtime() -> Result<()> {
    fork::refuse()?;
    if Handle::try_current().is_err() || !is_polled() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "the blocking API was called inside an async runtime").with_hint(
        "use `lithops::FunctionExecutor` and `.await` here, or call it from `tokio::task::spawn_blocking` or a thread of \
         its own",
    ))
}

/// Whether a runtime polls a future on this thread. Tokio gives such a future a budget of operations, which
/// can be used up; a thread that may block has no budget.
fn is_polled() -> bool {
    // More operations than tokio's budget for one poll, which is 128.
    const BUDGET: u32 = 256;
    let mut context = Context::from_waker(Waker::noop());
    // The used budget does no harm: the future around yields a little earlier.
    (0..BUDGET).any(|_| pin!(consume_budget()).poll(&mut context).is_pending())
}

#[cfg(test)]
mod tests {
    use tokio::task::{block_in_place, spawn_blocking};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_thread_may_block_where_its_runtime_lets_it() {
        assert!(refuse_inside_runtime().is_err(), "in the future that a runtime was given");
        assert!(tokio::spawn(async { refuse_inside_runtime().is_err() }).await.expect("ends"), "in a task");
        assert!(spawn_blocking(|| Blocking::run(async { Ok(7) })).await.expect("ends").is_ok());
        assert!(block_in_place(|| Blocking::run(async { Ok(7) })).is_ok());
        let handle = Handle::current();
        let entered = std::thread::spawn(move || {
            let _entered = handle.enter();
            Blocking::run(async { Ok(7) })
        });
        assert!(entered.join().expect("ends").is_ok(), "a thread that polls nothing");
        tokio::task::yield_now().await;
        assert!(refuse_inside_runtime().is_err(), "still");
    }

    #[tokio::test]
    async fn the_same_in_a_runtime_of_one_thread() {
        assert!(refuse_inside_runtime().is_err());
        assert!(spawn_blocking(|| Blocking::run(async { Ok(7) })).await.expect("ends").is_ok());
    }
}
