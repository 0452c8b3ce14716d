//! [`Segment`]: an object with a part of the inputs.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// An object that holds a part of the inputs, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// How many calls they are the inputs of.
    pub calls: u64,
    /// How many bytes it has.
    pub len: u64,
    /// The digest of the object.
    pub digest: Digest,
}

impl Segment {
    /// Whether so many calls can have their inputs in so many bytes: each has its end there.
    pub(super) fn is_possible(&self) -> bool {
        let least = self.calls.checked_mul(4).and_then(|ends| ends.checked_add(8));
        self.calls > 0 && u32::try_from(self.calls).is_ok() && least.is_some_and(|least| least <= self.len)
    }
}
