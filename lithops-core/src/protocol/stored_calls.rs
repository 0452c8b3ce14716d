//! [`StoredCalls`]: calls whose arguments are in a blob.

use serde::{Deserialize, Serialize};

use super::{Calls, Frame, FrameKind, Payloads, Run, malformed};
use crate::{
    bytes::Bytes,
    error::Result,
    storage::{BlobRef, StorageClient},
};

/// A run of calls whose arguments are in a blob. The blob is a column of arguments, of which these calls may
/// need only a part: arguments of calls that are tried again are not stored again.
#[derive(Debug, Clone)]
pub struct StoredCalls {
    /// The calls to make.
    pub run: Run,
    /// When the client handed the calls over, in nanoseconds since the Unix epoch.
    pub queued_at: u64,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    blob: BlobRef,
    /// How many arguments the blob has.
    arguments: u32,
    /// How many of them come before those of the first call.
    skipped: u32,
}

impl StoredCalls {
    /// Stores the arguments of `calls` as a blob under `key`.
    ///
    /// # Errors
    /// When the storage refuses the blob or fails.
    pub async fn put(storage: &StorageClient, key: String, calls: &Calls) -> Result<Self> {
        let mut column = Vec::with_capacity(calls.arguments.encoded_len());
        calls.arguments.write(&mut column);
        let blob = BlobRef::put(storage, key, column.into()).await?;
        let place = Place { blob, arguments: calls.run.count, skipped: 0 };
        Ok(Self { run: calls.run, queued_at: calls.queued_at, place })
    }

    /// The place, in the same blob, of some of these calls, on any attempt.
    #[must_use]
    pub fn part(&self, calls: &Calls) -> Self {
        let skipped = u32::try_from(calls.run.first.saturating_sub(self.run.first)).unwrap_or(u32::MAX);
        let place = Place { skipped: self.place.skipped.saturating_add(skipped), ..self.place.clone() };
        Self { run: calls.run, queued_at: calls.queued_at, place }
    }

    /// Fetches the arguments of the calls.
    ///
    /// # Errors
    /// When the blob cannot be read, or its digest is not that of the stored bytes.
    pub async fn load(&self, storage: &StorageClient) -> Result<Calls> {
        let Place { blob, arguments, skipped } = &self.place;
        let (skipped, count) = (u64::from(*skipped), u64::from(self.run.count));
        let column = if count == u64::from(*arguments) {
            blob.get(storage).await?
        } else {
            part_of(blob, storage, u64::from(*arguments), skipped, count).await?
        };
        let arguments = Payloads::read(&column.into_inner(), self.run.count)?;
        Ok(Calls { run: self.run, batch: 0, queued_at: self.queued_at, arguments })
    }

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// When the place of the arguments cannot be encoded.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut run = Vec::with_capacity(Run::LEN);
        self.run.write(&mut run);
        Frame::write(FrameKind::StoredCalls, &(run, self.queued_at, &self.place), out)
    }

    /// Decodes a frame of this kind.
    ///
    /// # Errors
    /// When the frame is malformed.
    pub fn read(frame: &Frame) -> Result<Self> {
        let (run, queued_at, place): (Vec<u8>, u64, Place) = frame.decode()?;
        let run = Run::read(&run)?;
        if place.skipped.checked_add(run.count).is_none_or(|end| end > place.arguments) {
            return Err(malformed("stored calls are no part of what was stored"));
        }
        Ok(Self { run, queued_at, place })
    }
}

/// The column of some of the arguments, read by range: first their end offsets, then their bytes.
async fn part_of(
    blob: &BlobRef,
    storage: &StorageClient,
    arguments: u64,
    skipped: u64,
    count: u64,
) -> Result<Bytes> {
    let before = u64::from(skipped > 0);
    let ends = blob.range(storage, (skipped - before) * 4..(skipped + count) * 4).await?;
    let ends: Vec<u32> =
        ends.chunks_exact(4).map(|end| u32::from_le_bytes([end[0], end[1], end[2], end[3]])).collect();
    let (base, ends) = if before == 1 { (ends[0], &ends[1..]) } else { (0, &ends[..]) };
    let last = ends.last().copied().unwrap_or(base);
    let data = arguments * 4;
    let values = blob.range(storage, data + u64::from(base)..data + u64::from(last)).await?;
    let mut column = Vec::with_capacity(ends.len() * 4 + values.len());
    ends.iter().for_each(|end| column.extend_from_slice(&end.saturating_sub(base).to_le_bytes()));
    column.extend_from_slice(&values);
    Ok(column.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::{ActivationId, JobId},
        protocol::{PayloadsBuilder, read_frame},
    };

    proptest! {
        #[test]
        fn any_part_of_stored_calls_has_its_own_arguments(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..40),
            cuts in (0usize..40, 0usize..40),
        ) {
            let mut builder = PayloadsBuilder::default();
            for value in &values {
                builder.data().extend_from_slice(value);
                builder.end_value();
            }
            let count = u32::try_from(values.len()).expect("few");
            let (job, activation) = (JobId::generate(), ActivationId(1));
            let run = Run { job, activation, offset: 0, chunksize: count, attempt: 1, first: 70, count };
            let calls = Calls { run, batch: 0, queued_at: 5, arguments: builder.finish() };
            let skip = cuts.0.min(values.len() - 1);
            let taken = cuts.1.clamp(1, values.len() - skip);
            let part = calls.slice(skip as u32, taken as u32);
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let loaded = runtime.block_on(async {
                let memory = std::sync::Arc::new(crate::storage::MemoryStorage::default());
                let storage = StorageClient::new(memory, "own");
                let stored = StoredCalls::put(&storage, "a".into(), &calls).await.expect("stored");
                let mut frame = Vec::new();
                stored.part(&part).write(&mut frame).expect("written");
                let frame = read_frame(&mut frame.as_slice()).expect("reads").expect("a frame");
                StoredCalls::read(&frame).expect("reads").load(&storage).await.expect("loads")
            });
            prop_assert_eq!(loaded.run, part.run);
            let found: Vec<_> = (0..taken).map(|index| loaded.arguments.get(index).to_vec()).collect();
            prop_assert_eq!(found, &values[skip..skip + taken]);
        }
    }
}
