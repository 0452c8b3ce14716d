//! [`BlobRef`]: a reference to an object of a job, by key and digests.

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{PutMode, StorageClient, insist};
use crate::{
    bytes::Bytes,
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

/// The size of a block in bytes. A block is read and checked as a whole.
pub const BLOCK: u64 = 4 << 20;
/// The number of blocks that are read at once.
const AT_ONCE: usize = 4;

/// A reference to an object of a job: its key, and the digest of each of its blocks. It is sent
/// instead of the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    key: String,
    len: u64,
    blocks: Vec<Digest>,
}

impl BlobRef {
    /// Stores bytes under a key, in the bucket of `storage`.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub async fn put(storage: &StorageClient, key: String, bytes: Bytes) -> Result<Self> {
        let hashed = bytes.clone();
        let blocks = tokio::task::spawn_blocking(move || {
            hashed.chunks(usize::try_from(BLOCK).unwrap_or(usize::MAX)).map(Digest::of).collect()
        });
        let blocks = blocks.await.map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("the digests of `{key}` were not made: {error}"))
        })?;
        let (store, bucket) = (storage.storage(), storage.bucket());
        insist(|| store.put(bucket, &key, bytes.clone(), PutMode::Overwrite)).await?;
        Ok(Self { key, len: bytes.len() as u64, blocks })
    }

    /// The key of the object.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The length of the object in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the number of digests fits the length. A decoded reference may be wrong.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.blocks.len() as u64 == self.len.div_ceil(BLOCK)
    }

    /// Whether the object has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// When the object cannot be read, or differs from what was stored.
    pub async fn get(&self, storage: &StorageClient) -> Result<Bytes> {
        self.range(storage, 0..self.len).await
    }

    /// Reads a part of the object. Only the blocks that overlap the range are read and checked.
    ///
    /// # Errors
    /// When the blocks cannot be read or differ from what was stored, or the range ends beyond the object.
    pub async fn range(&self, storage: &StorageClient, range: Range<u64>) -> Result<Bytes> {
        let beyond = range.start > range.end || range.end > self.len;
        if beyond || !self.is_possible() {
            let problem = format!("bytes {range:?} of the {} of `{}` were asked for", self.len, self.key);
            return Err(Error::new(ErrorKind::Unexpected, problem));
        }
        if range.is_empty() {
            return Ok(Bytes::default());
        }
        let (first, end) = (range.start / BLOCK, range.end.div_ceil(BLOCK));
        let within = narrow(range.start - first * BLOCK)..narrow(range.end - first * BLOCK);
        if end - first == 1 {
            return Ok(self.block(storage, first).await?.into_inner().slice(within).into());
        }
        let reads = stream::iter(first..end).map(|block| self.block(storage, block)).buffered(AT_ONCE);
        let mut read = Vec::with_capacity(narrow(end.saturating_mul(BLOCK).min(self.len) - first * BLOCK));
        let reads = reads.try_for_each(|block| {
            read.extend_from_slice(&block);
            std::future::ready(Ok(()))
        });
        reads.await?;
        Ok(bytes::Bytes::from(read).slice(within).into())
    }

    /// Reads one block and checks its digest.
    async fn block(&self, storage: &StorageClient, block: u64) -> Result<Bytes> {
        let start = block * BLOCK;
        let range = start..start.saturating_add(BLOCK).min(self.len);
        let (store, bucket) = (storage.storage(), storage.bucket());
        let bytes = insist(|| store.get_range(bucket, &self.key, range.clone())).await?;
        self.blocks[narrow(block)].check(&bytes, &self.key)?;
        Ok(bytes)
    }
}

fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_part_of_it_is_read_and_every_block_is_checked() {
        let storage =
            StorageClient::new(std::sync::Arc::new(crate::storage::MemoryStorage::default()), "own");
        let len = 2 * BLOCK + 77;
        let bytes: Bytes = (0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
        let blob = BlobRef::put(&storage, "jobs/1".into(), bytes.clone()).await.expect("stored");
        assert_eq!(*blob.get(&storage).await.expect("read"), *bytes);
        for range in [0..0, 0..1, BLOCK - 1..BLOCK + 1, BLOCK..2 * BLOCK, len - 1..len, 5..len, len..len] {
            let part = blob.range(&storage, range.clone()).await.expect("read");
            assert_eq!(*part, bytes[narrow(range.start)..narrow(range.end)], "{range:?}");
        }
        assert!(blob.range(&storage, 0..len + 1).await.is_err());

        let mut changed = bytes.to_vec();
        changed[narrow(BLOCK) + 3] ^= 1;
        let (store, bucket) = (storage.storage(), storage.bucket());
        store.put(bucket, "jobs/1", changed.into(), PutMode::Overwrite).await.expect("stored");
        assert!(blob.range(&storage, 0..BLOCK).await.is_ok(), "that block is as it was");
        let error = blob.range(&storage, BLOCK..BLOCK + 1).await.expect_err("another block");
        assert!(error.to_string().contains("`jobs/1` is not what was stored"), "{error}");
    }
}
