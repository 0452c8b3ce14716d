//! [`Mode`]: the async and the blocking form of the same API, written once.

use std::{fmt::Debug, future::Future};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use super::runtime;
use crate::error::{Error, ErrorKind, Result};

/// How the methods of an executor give their results: [`Async`] or [`Blocking`].
pub trait Mode: Debug + Copy + Send + Sync + 'static {
    /// What a method gives: a future of the result, or the result.
    type Out<T: Send + 'static>;

    /// Runs an operation.
    fn run<T, F>(operation: F) -> Self::Out<Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static;
}

/// Methods give futures.
#[derive(Debug, Clone, Copy)]
pub struct Async;

/// Methods give results, and block the thread meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Blocking;

impl Mode for Async {
    type Out<T: Send + 'static> = BoxFuture<'static, T>;

    fn run<T, F>(operation: F) -> Self::Out<Result<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Box::pin(operation)
    }
}

impl Mode for Blocking {
    type Out<T: Send + 'static> = T;

    fn run<T, F>(operation: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        refuse_inside_runtime()?;
        runtime::driver().block_on(operation)
    }
}

/// Blocking a thread of an async runtime would stall or panic the program; says so instead.
pub(super) fn refuse_inside_runtime() -> Result<()> {
    if Handle::try_current().is_err() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "the blocking API was called inside an async runtime")
        .with_hint("use `lithops::FunctionExecutor` and `.await` here, or call it from a thread of its own"))
}
