//! Reading a part: where it begins and ends, and its bytes.

use std::{ops::Range, sync::Mutex, sync::PoisonError};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    boundary::{self, AROUND, Read},
    part::Partition,
};
use crate::{
    bytes::Bytes,
    error::{Error, Result},
    storage::StorageClient,
};

/// How much is read at a time of a part that is read as a stream.
const PIECE: u64 = 8 << 20;

/// The bytes of one part's object, of which the last that were read are kept: looking for the end of a part reads
/// nothing twice.
#[derive(Debug)]
pub(super) struct Reading {
    partition: Partition,
    storage: Option<StorageClient>,
    kept: Mutex<(u64, Bytes)>,
}

impl Reading {
    pub(super) fn new(partition: Partition, storage: Option<StorageClient>) -> Self {
        Self { partition, storage, kept: Mutex::default() }
    }

    /// The whole part, as it is stored.
    pub(super) async fn bytes(&self) -> Result<Bytes> {
        self.check().await?;
        let (start, end) = self.partition.range;
        // In one request, with what is needed to find its ends, unless a record is long.
        let (before, after) = match &self.partition.newline {
            Some(newline) => (newline.len() as u64, AROUND),
            None => (0, 0),
        };
        let around = start.saturating_sub(before)..end.saturating_add(after).min(self.partition.size);
        self.keep(around).await?;
        let range = self.bounds().await?;
        self.read(range).await
    }

    /// The part as it is stored, piece by piece.
    pub(super) fn pieces(self) -> BoxStream<'static, Result<Bytes>> {
        let begun = async move {
            self.check().await?;
            let range = self.bounds().await?;
            let state = (self, range.start, range.end);
            let read = |(reading, start, end): (Self, u64, u64)| async move {
                if start >= end {
                    return Ok(None);
                }
                let next = (start + PIECE).min(end);
                let piece = reading.read(start..next).await?;
                Ok(Some((piece, (reading, next, end))))
            };
            Ok::<_, Error>(stream::try_unfold(state, read))
        };
        stream::once(begun).try_flatten().boxed()
    }

    /// Where the part begins and ends.
    async fn bounds(&self) -> Result<Range<u64>> {
        let (start, end) = self.partition.range;
        let Some(newline) = &self.partition.newline else { return Ok(start..end) };
        let size = self.partition.size;
        let begin = boundary::next_record(self, size, newline, start).await?;
        // A record that covers the whole range ends both at once.
        if begin >= end {
            return Ok(begin..begin);
        }
        Ok(begin..boundary::next_record(self, size, newline, end).await?)
    }

    async fn check(&self) -> Result<()> {
        let (size, mark) = self.partition.place.look(self.storage.as_ref()).await?;
        let same = size == self.partition.size && (mark == self.partition.mark || mark.is_none());
        if same { Ok(()) } else { Err(self.partition.place.changed()) }
    }

    async fn keep(&self, range: Range<u64>) -> Result<()> {
        let start = range.start;
        let bytes = self.partition.place.read(self.storage.as_ref(), range).await?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = (start, bytes);
        Ok(())
    }

    fn kept(&self, range: &Range<u64>) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, bytes) = &*kept;
        let from = range.start.checked_sub(*at)? as usize;
        let to = (range.end - at) as usize;
        (to <= bytes.len()).then(|| Bytes::from(bytes.clone().into_inner().slice(from..to)))
    }
}

impl Read for Reading {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if let Some(kept) = self.kept(&range) {
            return Ok(kept);
        }
        self.partition.place.read(self.storage.as_ref(), range).await
    }
}
