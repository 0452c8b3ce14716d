//! What can go wrong: [`Error`] for operations, [`CallError`] for one call of a user's function.

mod call;
mod kind;
mod operation;

pub use call::{CallError, CallErrorKind};
pub use kind::{ErrorKind, Retry};
pub use operation::Error;

/// The result of an operation of this system.
pub type Result<T, E = Error> = std::result::Result<T, E>;
