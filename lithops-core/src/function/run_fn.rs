//! [`RunFn`]: how a function is run on encoded arguments.

use std::{fmt, future::Future, pin::Pin};

use super::Scope;
use crate::error::CallError;

type Outcome = Result<(), CallError>;

/// The future of an `async` function.
pub type CallFuture<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// Runs a function on encoded arguments; the encoded value is appended to the buffer.
#[derive(Clone, Copy)]
pub enum RunFn {
    /// A plain function.
    Sync(for<'a> fn(&'a Scope<'a>, &'a [u8], &'a mut Vec<u8>) -> Outcome),
    /// An `async` function.
    Async(for<'a> fn(&'a Scope<'a>, &'a [u8], &'a mut Vec<u8>) -> CallFuture<'a>),
}

impl fmt::Debug for RunFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync(_) => "Sync",
            Self::Async(_) => "Async",
        })
    }
}
