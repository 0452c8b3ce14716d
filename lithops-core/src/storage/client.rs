//! [`StorageClient`]: the user's handle of a storage.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};

use super::{
    Locator, ObjectMeta, PutMode, Storage, StorageInfo,
    contract::wrong_length,
    files::{PIECE, file_pieces, write_pieces},
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    id::new_uuid,
};

/// A storage and the bucket of cloud objects; cheap to clone.
///
/// As a parameter of a function it is reserved: it is filled in by the worker and never travels, because it holds the
/// credentials of whoever opened it. What can travel is a [`CloudObject`].
#[derive(Clone)]
pub struct StorageClient {
    storage: Arc<dyn Storage>,
    bucket: Arc<str>,
}

/// The name of an object that [`StorageClient::put_cloudobject`] has stored; it can be an argument or a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CloudObject {
    scheme: String,
    bucket: String,
    key: String,
}

impl CloudObject {
    /// The name of the storage that holds it.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Its bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for CloudObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.scheme, self.bucket, self.key)
    }
}

impl StorageClient {
    /// A handle of `storage` whose cloud objects go into `bucket`.
    pub fn new(storage: Arc<dyn Storage>, bucket: impl Into<String>) -> Self {
        Self { storage, bucket: bucket.into().into() }
    }

    /// Opens the storage that a locator names.
    ///
    /// # Errors
    /// This program lacks the storage, or it cannot be opened.
    pub fn connect(locator: &Locator) -> Result<Self> {
        Ok(Self::new(super::connect(locator)?, locator.bucket.as_str()))
    }

    /// Which storage it is, and where.
    #[must_use]
    pub fn info(&self) -> StorageInfo {
        self.storage.info()
    }

    /// The bucket of cloud objects.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The storage below the handle.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Stores an object, in the place of one that exists.
    ///
    /// # Errors
    /// The storage refuses the name or the object.
    pub async fn put_object(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.storage.put(bucket, key, bytes.into(), PutMode::Overwrite).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.storage.get(bucket, key).await
    }

    /// Reads a part of an object.
    ///
    /// # Errors
    /// `NotFound` when it does not exist, `InvalidInput` when the range ends beyond it.
    pub async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        ranged(&*self.storage, bucket, key, range).await
    }

    /// Reads an object piece by piece, 8 MiB at a time, with the next piece on its way: whatever its size, it takes
    /// little memory.
    ///
    /// # Errors
    /// `NotFound` when it does not exist. The stream ends with an error when a piece cannot be read, or when the object
    /// is replaced meanwhile.
    pub async fn get_stream(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<(ObjectMeta, BoxStream<'static, Result<Bytes>>)> {
        let meta = self.storage.head(bucket, key).await?;
        Ok((meta.clone(), pieces(Arc::clone(&self.storage), bucket.to_owned(), meta)))
    }

    /// Stores an object that comes in pieces, in the place of one that exists; when the pieces end with an error,
    /// nothing is stored.
    ///
    /// # Errors
    /// That error; or the storage refuses the object.
    pub async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        pieces: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<()> {
        self.storage.put_stream(bucket, key, pieces.boxed()).await
    }

    /// Describes an object.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    pub async fn head_object(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.storage.head(bucket, key).await
    }

    /// The keys that start with `prefix`, sorted; `""` gives all.
    ///
    /// # Errors
    /// The storage cannot be listed.
    pub async fn list_keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        self.storage.list(bucket, prefix).map_ok(|object| object.key).try_collect().await
    }

    /// The objects whose keys start with `prefix`, sorted by key.
    ///
    /// # Errors
    /// The storage cannot be listed.
    pub async fn list_objects(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.storage.list(bucket, prefix).try_collect().await
    }

    /// Removes an object; one that does not exist is no error.
    ///
    /// # Errors
    /// The storage does not allow it.
    pub async fn delete_object(&self, bucket: &str, key: &str) -> Result<()> {
        self.storage.delete(bucket, key).await
    }

    /// Removes several objects; those that do not exist are no error.
    ///
    /// # Errors
    /// The storage does not allow it; some of the objects may be gone then.
    pub async fn delete_objects(
        &self,
        bucket: &str,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<()> {
        self.storage.delete_many(bucket, keys.into_iter().map(Into::into).collect()).await
    }

    /// Stores the content of a file.
    ///
    /// # Errors
    /// The file cannot be read, or the storage refuses the object.
    pub async fn upload_file(&self, path: impl AsRef<Path>, bucket: &str, key: &str) -> Result<()> {
        let pieces = file_pieces(path.as_ref()).await?;
        self.put_stream(bucket, key, pieces).await
    }

    /// Writes an object to a file, in the place of one that exists; the file is there whole or not at all.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist; or the file cannot be written.
    pub async fn download_file(&self, bucket: &str, key: &str, path: impl AsRef<Path>) -> Result<()> {
        let (_, content) = self.get_stream(bucket, key).await?;
        write_pieces(path.as_ref(), content).await
    }

    /// Stores bytes under a name of their own.
    ///
    /// # Errors
    /// The storage refuses the object.
    pub async fn put_cloudobject(&self, bytes: impl Into<Bytes>) -> Result<CloudObject> {
        let bytes = bytes.into();
        let key = format!("cloudobjects/{}", new_uuid());
        self.storage.put(&self.bucket, &key, bytes, PutMode::Overwrite).await?;
        Ok(CloudObject { scheme: self.info().scheme.to_owned(), bucket: self.bucket.to_string(), key })
    }

    /// Reads a cloud object.
    ///
    /// # Errors
    /// `NotFound` when it was deleted, `InvalidInput` when it lies in another storage.
    pub async fn get_cloudobject(&self, object: &CloudObject) -> Result<Bytes> {
        self.check_scheme(object)?;
        self.storage.get(&object.bucket, &object.key).await
    }

    /// Removes a cloud object; one that does not exist is no error.
    ///
    /// # Errors
    /// `InvalidInput` when it lies in another storage.
    pub async fn delete_cloudobject(&self, object: &CloudObject) -> Result<()> {
        self.check_scheme(object)?;
        self.storage.delete(&object.bucket, &object.key).await
    }

    fn check_scheme(&self, object: &CloudObject) -> Result<()> {
        let scheme = self.info().scheme;
        if object.scheme == scheme {
            return Ok(());
        }
        let message = format!("cloud object `{object}` does not lie in storage `{scheme}`");
        Err(Error::new(ErrorKind::InvalidInput, message)
            .with_hint(format!("open it with a client of storage `{}`", object.scheme)))
    }
}

impl fmt::Debug for StorageClient {
    /// Says where the storage is; what is below may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageClient").field("info", &self.info()).field("bucket", &self.bucket).finish()
    }
}

/// A part of an object, no shorter and no longer than it is.
async fn ranged(storage: &dyn Storage, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
    let wanted = range.end.saturating_sub(range.start);
    let bytes = storage.get_range(bucket, key, range).await?;
    let came = bytes.len() as u64;
    if came == wanted { Ok(bytes) } else { Err(wrong_length(bucket, key, wanted, came)) }
}

/// The content of an object that was described a moment ago.
fn pieces(storage: Arc<dyn Storage>, bucket: String, meta: ObjectMeta) -> BoxStream<'static, Result<Bytes>> {
    let several = meta.size > PIECE;
    let ranges = (0..meta.size.div_ceil(PIECE)).map(move |number| {
        let start = number * PIECE;
        start..(start + PIECE).min(meta.size)
    });
    let (described, same) = (meta.clone(), (Arc::clone(&storage), bucket.clone()));
    let read = stream::iter(ranges)
        .map(move |range| {
            let (storage, bucket, key) = (Arc::clone(&storage), bucket.clone(), meta.key.clone());
            async move { ranged(&*storage, &bucket, &key, range).await }
        })
        .buffered(2);
    // Pieces of two objects must not become one.
    let unchanged = stream::once(async move {
        let (storage, bucket) = same;
        let now = storage.head(&bucket, &described.key).await?;
        if (now.size, &now.etag) == (described.size, &described.etag) {
            return Ok(Bytes::default());
        }
        let message =
            format!("object `{}` in bucket `{bucket}` was replaced while it was read", described.key);
        Err(Error::new(ErrorKind::Io, message).with_hint("read it again").with_retry(Retry::Later))
    });
    if several { read.chain(unchanged).boxed() } else { read.boxed() }
}
