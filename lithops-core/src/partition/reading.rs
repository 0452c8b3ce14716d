//! Reading a part: its first and last byte, and its content.

use std::{ops::Range, sync::Mutex, sync::PoisonError};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    boundary::{self, AROUND, Read},
    part::Partition,
    version::{KnownVersion, changed},
};
use crate::{
    bytes::Bytes,
    error::{Error, Result, Retry},
    storage::StorageClient,
};

/// How many bytes are read at a time when a part is read as a stream.
const PIECE: u64 = 8 << 20;

/// Reads the object of one part. The last bytes that were read are kept, so that finding the end of a part
/// reads nothing twice.
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

    /// The whole part, as it is stored: not unpacked.
    pub(super) async fn bytes(&self) -> Result<Bytes> {
        if let Some(pieces) = self.partition.place.whole(self.known()) {
            let whole = pieces.try_fold(Vec::new(), |mut whole, piece| async move {
                whole.extend_from_slice(&piece);
                Ok(whole)
            });
            return whole.await.map(Bytes::from);
        }
        let (start, end) = self.partition.range;
        // One request reads the range with the bytes that are needed to find its ends, unless a record is
        // long.
        let (before, after) = match &self.partition.newline {
            Some(newline) => (newline.len() as u64, AROUND),
            None => (0, 0),
        };
        let around = start.saturating_sub(before)..end.saturating_add(after).min(self.partition.size);
        let read = async {
            self.keep(around).await?;
            let range = self.bounds().await?;
            self.read(range).await
        };
        self.unchanged(read).await
    }

    /// The part as it is stored, piece by piece. The stream ends with an error if the object was changed
    /// meanwhile.
    pub(super) fn pieces(self) -> BoxStream<'static, Result<Bytes>> {
        if let Some(pieces) = self.partition.place.whole(self.known()) {
            return pieces;
        }
        let begun = async move {
            let range = self.unchanged(self.bounds()).await?;
            let state = (self, range.start, range.end);
            let read = |(reading, start, end): (Self, u64, u64)| async move {
                let next = (start + PIECE).min(end);
                let piece = reading.read(start..next).await;
                // The check comes before the last piece is given out, so that no reader takes a mixture of
                // two versions for the whole.
                let piece = if piece.is_err() || next == end {
                    reading.unchanged(async { piece }).await?
                } else {
                    piece?
                };
                Ok((start < end).then_some((piece, (reading, next, end))))
            };
            Ok::<_, Error>(stream::try_unfold(state, read))
        };
        stream::once(begun).try_flatten().boxed()
    }

    /// The offsets in the object where the part begins and ends.
    async fn bounds(&self) -> Result<Range<u64>> {
        let (start, end) = self.partition.range;
        let Some(newline) = &self.partition.newline else { return Ok(start..end) };
        let size = self.partition.size;
        let begin = boundary::next_record(self, size, newline, start).await?;
        // A record that covers the whole range leaves the part empty.
        if begin >= end {
            return Ok(begin..begin);
        }
        Ok(begin..boundary::next_record(self, size, newline, end).await?)
    }

    fn known(&self) -> KnownVersion<'_> {
        KnownVersion { size: self.partition.size, mark: self.partition.mark.as_deref() }
    }

    /// The result of `read`, if the object has not changed. The check comes after the read: an object that is
    /// unchanged then was unchanged during the read.
    async fn unchanged<T>(&self, read: impl Future<Output = Result<T>>) -> Result<T> {
        let place = &self.partition.place;
        let read = read.await;
        // From an empty object nothing was read, so that no read could have noticed a change.
        if place.watches_itself() && self.partition.size > 0
            || read.as_ref().is_err_and(|error| error.retry() == Retry::Later)
        {
            return read;
        }
        match (read, place.look(self.storage.as_ref()).await) {
            (_, Ok((size, mark))) if !self.known().allows(Some(size), mark.as_deref()) => Err(changed(place)),
            (Ok(_), Err(error)) => Err(error),
            (read, _) => read,
        }
    }

    async fn keep(&self, range: Range<u64>) -> Result<()> {
        let start = range.start;
        let bytes = self.partition.place.read(self.storage.as_ref(), self.known(), range).await?;
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
        self.partition.place.read(self.storage.as_ref(), self.known(), range).await
    }
}
