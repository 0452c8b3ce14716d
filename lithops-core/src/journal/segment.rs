//! [`Segment`]: a stored object with a part of the inputs.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A stored object that holds a part of the inputs, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The number of calls whose inputs it holds.
    pub calls: u64,
    /// The size of the object in bytes.
    pub len: u64,
    /// The digest of the object.
    pub digest: Digest,
}

impl Segment {
    /// Whether the inputs of `calls` calls fit into `len` bytes at all: each call takes at least
    /// the 4 bytes of its end, after a header of 8 bytes.
    pub(super) fn is_possible(&self) -> bool {
        let least = self.calls.checked_mul(4).and_then(|ends| ends.checked_add(8));
        self.calls > 0 && u32::try_from(self.calls).is_ok() && least.is_some_and(|least| least <= self.len)
    }
}
