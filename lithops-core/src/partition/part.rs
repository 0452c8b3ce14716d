//! [`Partition`]: the description of a part, as it travels to its call.

use serde::{Deserialize, Serialize};

use super::{compression::Compression, location::ObjectLocation};
use crate::{
    bytes::Bytes,
    error::{CallError, CallErrorKind, Result},
};

/// A part of an object. It travels in front of the call's arguments, behind its own length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Partition {
    pub(crate) place: ObjectLocation,
    /// The size of the object when it was found.
    pub(crate) size: u64,
    pub(crate) mark: Option<String>,
    pub(crate) range: (u64, u64),
    pub(crate) part: u64,
    pub(crate) total: u64,
    /// The bytes that end a record; `None` means that the range is exact.
    pub(crate) newline: Option<Bytes>,
    pub(crate) compression: Compression,
}

impl Partition {
    /// Appends the length of the encoded partition, and then the partition.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let encoded = postcard::to_stdvec(self).map_err(|error| {
            crate::error::Error::new(
                crate::error::ErrorKind::Unexpected,
                format!("a partition cannot be encoded: {error}"),
            )
        })?;
        let len = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&encoded);
        Ok(())
    }

    pub(crate) fn read(encoded: &[u8]) -> std::result::Result<Self, CallError> {
        postcard::from_bytes(encoded).map_err(|error| {
            CallError::new(
                CallErrorKind::Undecodable,
                format!("the call's partition does not decode: {error}"),
            )
        })
    }
}

/// Splits the input of a call whose function takes an object: the encoded partition, and the arguments.
///
/// # Errors
/// When the input does not begin with a partition.
pub fn split(input: &[u8]) -> std::result::Result<(&[u8], &[u8]), CallError> {
    let cut = || {
        let (len, rest) = input.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_le_bytes(*len) as usize)
    };
    cut().ok_or_else(|| {
        CallError::new(
            CallErrorKind::Undecodable,
            "the function takes a `DataObject`, and the call was sent without one",
        )
    })
}
