//! The two errors: [`Error`] for operations, [`CallError`] for one call of a user's function.

mod call;
mod kind;
mod operation;

pub use call::{CallError, CallErrorKind};
pub use kind::{ErrorKind, Retry};
pub use operation::{Error, Result};
