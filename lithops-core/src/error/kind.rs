//! The classes of [`Error`](super::Error): what the caller can do, and whether a retry helps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class of a failure, named by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong: correct the file, the variable or the builder call that is named.
    ConfigInvalid,
    /// An argument of the API call is wrong: correct the program.
    InvalidInput,
    /// The object, job or other thing that was named does not exist.
    NotFound,
    /// The job is not stored, so that no client can attach to it.
    NotDurable,
    /// The object exists already, and the operation was asked not to replace it.
    AlreadyExists,
    /// The backend, the storage or the platform cannot do this; its capabilities say so.
    Unsupported,
    /// The credentials at hand do not allow the operation.
    PermissionDenied,
    /// The platform asked to slow down.
    RateLimited,
    /// The payload has more bytes than the platform or the protocol carries.
    PayloadTooLarge,
    /// The job would cost more than `max_cost`; nothing was started.
    TooExpensive,
    /// The operation took longer than it was allowed to.
    Timeout,
    /// The operation was cancelled.
    Cancelled,
    /// A call of a user's function failed; the source is its [`CallError`](super::CallError).
    CallFailed,
    /// A worker ended, or never answered.
    WorkerLost,
    /// Two parts that must have the same version do not.
    VersionMismatch,
    /// The bytes that were read from a storage are not those that were stored; the message names the object.
    Damaged,
    /// The operating system or a network failed or refused an operation.
    Io,
    /// A fault of this library: please report it.
    Unexpected,
}

impl ErrorKind {
    /// The process exit code of the command line for this kind (documented in the README).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::ConfigInvalid | Self::InvalidInput => 2,
            Self::NotFound | Self::NotDurable | Self::AlreadyExists | Self::Unsupported => 3,
            Self::PermissionDenied => 4,
            Self::CallFailed => 5,
            Self::TooExpensive => 6,
            _ => 1,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigInvalid => "configuration error",
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::NotDurable => "not durable",
            Self::AlreadyExists => "already exists",
            Self::Unsupported => "unsupported",
            Self::PermissionDenied => "permission denied",
            Self::RateLimited => "rate limited",
            Self::PayloadTooLarge => "payload too large",
            Self::TooExpensive => "too expensive",
            Self::Timeout => "timed out",
            Self::Cancelled => "cancelled",
            Self::CallFailed => "call failed",
            Self::WorkerLost => "worker lost",
            Self::VersionMismatch => "version mismatch",
            Self::Damaged => "damaged",
            Self::Io => "i/o error",
            Self::Unexpected => "unexpected error",
        })
    }
}

/// Whether the same operation may succeed when it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Retry {
    /// Another try will fail too.
    #[default]
    Never,
    /// Another try may succeed, at once or after a pause.
    Later,
}
