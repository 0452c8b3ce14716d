//! The identifiers of jobs, calls and activations.

use std::{fmt, str::FromStr, time::SystemTime};

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// The number of a call within its job, from 0.
///
/// A parameter of this type of a `#[lithops::function]` is reserved: the worker fills it in, and it
/// is not part of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CallId(u64);

impl CallId {
    /// The number as an index of a slice.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u64> for CallId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<CallId> for u64 {
    fn from(id: CallId) -> Self {
        id.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A unique number. Later numbers sort after earlier ones. If the clock is before 1970, as on machines
/// without a battery, the time of 1970 is used, because the number cannot hold an earlier time.
pub fn new_uuid() -> Uuid {
    let now = SystemTime::now();
    if now < SystemTime::UNIX_EPOCH { uuid_of_1970() } else { Uuid::now_v7() }
}

fn uuid_of_1970() -> Uuid {
    Uuid::new_v7(Timestamp::from_unix(NoContext, 0, 0))
}

/// The identifier of a job, which is globally unique. Later ids sort after earlier ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(Uuid);

impl JobId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(new_uuid())
    }

    /// The 16 bytes of the id, as frames contain them.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// The id from the bytes of a frame.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({})", self.0)
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let id = Uuid::from_str(text).map_err(|source| InvalidJobId { text: text.to_owned(), source })?;
        Ok(Self(id))
    }
}

/// The error of a text that is not a job id. `?` converts it into an [`Error`](crate::error::Error)
/// with a hint.
#[derive(Debug)]
pub struct InvalidJobId {
    text: String,
    source: uuid::Error,
}

impl fmt::Display for InvalidJobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a job id", self.text)
    }
}

impl std::error::Error for InvalidJobId {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The number of an activation within its job. An activation hands one chunk to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivationId(pub u64);

impl fmt::Display for ActivationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_has_numbers_too() {
        assert!(uuid_of_1970() < new_uuid() && uuid_of_1970() != uuid_of_1970());
        assert_eq!(uuid_of_1970().get_version_num(), new_uuid().get_version_num());
    }
}
