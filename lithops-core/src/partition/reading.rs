//! Reading a part: its first and last byte, and its content.

use std::{
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::task::JoinHandle;

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
/// How many pieces are read at the same time: the next one comes while the function works on the last one.
const AHEAD: usize = 2;

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

    /// The part as it is stored, piece by piece; the next one is read while the last one is used. The stream ends
    /// with an error if the object was changed meanwhile.
    pub(super) fn pieces(self) -> BoxStream<'static, Result<Bytes>> {
        if let Some(pieces) = self.partition.place.whole(self.known()) {
            return pieces;
        }
        let begun = async move {
            let range = self.unchanged(self.bounds()).await?;
            let reading = Arc::new(self);
            let ranges = (0..(range.end - range.start).div_ceil(PIECE)).map(move |piece| {
                let start = range.start + piece * PIECE;
                start..(start + PIECE).min(range.end)
            });
            let end = range.end;
            let read = {
                let reading = Arc::clone(&reading);
                move |range: Range<u64>| {
                    let is_last = range.end == end;
                    let read = ReadAhead::start(Arc::clone(&reading), range);
                    async move { (is_last, read.await) }
                }
            };
            let pieces = stream::iter(ranges).map(read).buffered(AHEAD).then(move |(is_last, piece)| {
                let reading = Arc::clone(&reading);
                // The check comes when all pieces are read and before the last is given out, so that no reader takes
                // a mixture of two versions for the whole.
                async move {
                    match is_last || piece.is_err() {
                        true => reading.unchanged(async { piece }).await,
                        false => piece,
                    }
                }
            });
            Ok::<_, Error>(pieces)
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

/// A piece that is read whether or not it is waited for; it is given up when it is not wanted any more.
struct ReadAhead(JoinHandle<Result<Bytes>>);

impl ReadAhead {
    fn start(reading: Arc<Reading>, range: Range<u64>) -> Self {
        Self(tokio::spawn(async move { reading.read(range).await }))
    }
}

impl Future for ReadAhead {
    type Output = Result<Bytes>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| joined.map_err(std::io::Error::other)?)
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.0.abort();
    }
}
