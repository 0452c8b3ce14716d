//! [`Run`]: a contiguous run of calls of one job, as frames carry it.

use super::malformed;
use crate::{
    error::Result,
    id::{ActivationId, CallId, JobId},
};

/// A contiguous run of calls, and the activations that the calls belong to.
///
/// A run may cover several activations, each of `chunksize` calls, so that a chunk is a unit of planning and
/// accounting and not a frame: call `c` belongs to activation `activation + (offset + c - first) /
/// chunksize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The job of the calls.
    pub job: JobId,
    /// The activation of the first call.
    pub activation: ActivationId,
    /// How many calls of that activation come before the first call.
    pub offset: u32,
    /// How many calls one activation has.
    pub chunksize: u32,
    /// The attempt that all these calls are on, from 1.
    pub attempt: u32,
    /// The number of the first call.
    pub first: u64,
    /// How many calls the run has.
    pub count: u32,
}

impl Run {
    /// The length of an encoded run in bytes.
    pub const LEN: usize = 48;

    /// The part of the run that skips `skip` calls and has `count` calls.
    #[must_use]
    pub fn slice(&self, skip: u32, count: u32) -> Self {
        debug_assert!(u64::from(skip) + u64::from(count) <= u64::from(self.count), "slice within the run");
        let position = u64::from(self.offset) + u64::from(skip);
        let chunksize = u64::from(self.chunksize.max(1));
        Self {
            activation: ActivationId(self.activation.0.saturating_add(position / chunksize)),
            offset: u32::try_from(position % chunksize).unwrap_or(u32::MAX),
            first: self.first + u64::from(skip),
            count,
            ..*self
        }
    }

    /// The activation of a call of this run.
    #[must_use]
    pub fn activation_of(&self, call: CallId) -> ActivationId {
        let position = u64::from(self.offset) + (u64::from(call) - self.first);
        ActivationId(self.activation.0.saturating_add(position / u64::from(self.chunksize.max(1))))
    }

    /// The number of the call after the last one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Appends the encoded run to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.job.to_bytes());
        out.extend_from_slice(&self.activation.0.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        for field in [self.offset, self.chunksize, self.attempt, self.count] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// Decodes the run at the start of `bytes`.
    ///
    /// # Errors
    /// When there are too few bytes, or the run overflows the call numbers.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; Self::LEN] = bytes.first_chunk().ok_or_else(|| malformed("a run is cut short"))?;
        let mut job = [0; 16];
        job.copy_from_slice(&bytes[..16]);
        let long = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(field)
        };
        let short = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let run = Self {
            job: JobId::from_bytes(job),
            activation: ActivationId(long(16)),
            first: long(24),
            offset: short(32),
            chunksize: short(36),
            attempt: short(40),
            count: short(44),
        };
        if run.chunksize == 0 || run.first.checked_add(u64::from(run.count)).is_none() {
            return Err(malformed(format!("impossible run {run:?}")));
        }
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slice_keeps_each_calls_activation(
            (offset, chunksize) in (1u32..50).prop_flat_map(|size| (0..size, Just(size))),
            first in 0u64..1000, count in 1u32..500, skip in 0u32..500, take in 0u32..500,
        ) {
            let run = Run { job: JobId::generate(), activation: ActivationId(3), offset, chunksize, attempt: 1, first, count };
            let skip = skip.min(count);
            let part = run.slice(skip, take.min(count - skip));
            for call in part.first..part.end() {
                prop_assert_eq!(part.activation_of(call.into()), run.activation_of(call.into()));
            }
            let mut bytes = Vec::new();
            part.write(&mut bytes);
            prop_assert_eq!(bytes.len(), Run::LEN);
            prop_assert_eq!(Run::read(&bytes).expect("reads"), part);
        }
    }
}
