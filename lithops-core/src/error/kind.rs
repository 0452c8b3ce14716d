//! The classes of [`Error`](super::Error): what the caller can do, and whether trying again helps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure it is, named by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong: mend the file, the variable or the builder call that is named.
    ConfigInvalid,
    /// An argument of the API call is wrong: mend the program.
    InvalidInput,
    /// What was named does not exist.
    NotFound,
    /// Nothing is stored of the job, so that it cannot be attached to.
    NotDurable,
    /// It exists already, and the operation was asked not to replace it.
    AlreadyExists,
    /// The backend, the storage or the platform cannot do this; its capabilities say so.
    Unsupported,
    /// The credentials at hand do not allow it.
    PermissionDenied,
    /// The platform asked to slow down.
    RateLimited,
    /// More bytes than the platform or the protocol carries.
    PayloadTooLarge,
    /// The job would cost more than it may; nothing was started.
    TooExpensive,
    /// It took longer than it was allowed to.
    Timeout,
    /// It was cancelled.
    Cancelled,
    /// A call of a user's function failed; the source is its [`CallError`](super::CallError).
    CallFailed,
    /// A worker ended or never answered.
    WorkerLost,
    /// Two parts that must be of one version are not.
    VersionMismatch,
    /// What was read from a storage is not what was stored there; the message names the object.
    Damaged,
    /// The operating system refused something.
    Io,
    /// A fault of this system: please report it.
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
    /// It will fail again.
    #[default]
    Never,
    /// It may succeed at once or after a pause.
    Later,
}
