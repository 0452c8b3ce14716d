//! [`StorageClient`]: the user's handle to a storage.

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

/// A storage and the bucket of cloud objects. Clones are cheap.
///
/// A function can have a parameter of this type. The worker fills it in, and it is never sent, because it
/// holds the credentials of the process that opened it. What can be sent is a [`CloudObject`].
#[derive(Clone)]
pub struct StorageClient {
    storage: Arc<dyn Storage>,
    bucket: Arc<str>,
}

/// A reference to an object of [`StorageClient::put_cloudobject`]. It can be an argument or a
/// result of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CloudObject {
    scheme: String,
    bucket: String,
    key: String,
}

impl CloudObject {
    /// The name of the storage that holds the object.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The bucket of the object.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key of the object.
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
    /// A handle to `storage` that puts cloud objects into `bucket`.
    pub fn new(storage: Arc<dyn Storage>, bucket: impl Into<String>) -> Self {
        Self { storage, bucket: bucket.into().into() }
    }

    /// Opens the storage that a locator names.
    ///
    /// # Errors
    /// When this program does not include the storage, or the storage cannot be opened.
    pub fn connect(locator: &Locator) -> Result<Self> {
        Ok(Self::new(super::connect(locator)?, locator.bucket.as_str()))
    }

    /// The name and the location of the storage.
    #[must_use]
    pub fn info(&self) -> StorageInfo {
        self.storage.info()
    }

    /// The bucket of cloud objects.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The storage that this handle uses.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Stores an object, and replaces an existing one.
    ///
    /// # Errors
    /// When the storage refuses the key or the object.
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
    /// `NotFound` when the object does not exist, `InvalidInput` when the range ends beyond its length.
    pub async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        ranged(&*self.storage, bucket, key, range).await
    }

    /// Reads an object in pieces of 8 MiB, and requests the next piece ahead, so that an object of
    /// any size takes little memory.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist. The stream ends with an error when a piece cannot
    /// be read, or when the object is replaced meanwhile.
    pub async fn get_stream(
        &self,
        bucket: &str,
        key: &str,
    ) -> Result<(ObjectMeta, BoxStream<'static, Result<Bytes>>)> {
        let meta = self.storage.head(bucket, key).await?;
        Ok((meta.clone(), pieces(Arc::clone(&self.storage), bucket.to_owned(), meta)))
    }

    /// Stores an object from a stream of pieces, and replaces an existing one. When the stream ends
    /// with an error, nothing is stored.
    ///
    /// # Errors
    /// The error of the stream; or the storage refuses the object.
    pub async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        pieces: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Result<()> {
        self.storage.put_stream(bucket, key, pieces.boxed()).await
    }

    /// The size, the time and the etag of an object, without reading it.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    pub async fn head_object(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.storage.head(bucket, key).await
    }

    /// The keys that start with `prefix`, sorted; `""` lists all keys.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn list_keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        self.storage.list(bucket, prefix).map_ok(|object| object.key).try_collect().await
    }

    /// The objects whose keys start with `prefix`, sorted by key.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn list_objects(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
        self.storage.list(bucket, prefix).try_collect().await
    }

    /// Removes an object. An object that does not exist is no error.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn delete_object(&self, bucket: &str, key: &str) -> Result<()> {
        self.storage.delete(bucket, key).await
    }

    /// Removes several objects. Objects that do not exist are no error.
    ///
    /// # Errors
    /// When the storage refuses a removal. Some of the objects may be removed then.
    pub async fn delete_objects(
        &self,
        bucket: &str,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<()> {
        self.storage.delete_many(bucket, keys.into_iter().map(Into::into).collect()).await
    }

    /// Stores the content of a file as an object.
    ///
    /// # Errors
    /// When the file cannot be read, or the storage refuses the object.
    pub async fn upload_file(&self, path: impl AsRef<Path>, bucket: &str, key: &str) -> Result<()> {
        let pieces = file_pieces(path.as_ref()).await?;
        self.put_stream(bucket, key, pieces).await
    }

    /// Writes an object to a file, and replaces an existing file. A reader sees the whole file or
    /// none of it.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist; or the file cannot be written.
    pub async fn download_file(&self, bucket: &str, key: &str, path: impl AsRef<Path>) -> Result<()> {
        let (_, content) = self.get_stream(bucket, key).await?;
        write_pieces(path.as_ref(), content).await
    }

    /// Stores bytes under a new random key in the bucket of cloud objects.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub async fn put_cloudobject(&self, bytes: impl Into<Bytes>) -> Result<CloudObject> {
        let bytes = bytes.into();
        let key = format!("cloudobjects/{}", new_uuid());
        self.storage.put(&self.bucket, &key, bytes, PutMode::Overwrite).await?;
        Ok(CloudObject { scheme: self.info().scheme.to_owned(), bucket: self.bucket.to_string(), key })
    }

    /// Reads a cloud object.
    ///
    /// # Errors
    /// `NotFound` when the object was deleted, `InvalidInput` when it belongs to another storage.
    pub async fn get_cloudobject(&self, object: &CloudObject) -> Result<Bytes> {
        self.check_scheme(object)?;
        self.storage.get(&object.bucket, &object.key).await
    }

    /// Removes a cloud object. An object that does not exist is no error.
    ///
    /// # Errors
    /// `InvalidInput` when the object belongs to another storage.
    pub async fn delete_cloudobject(&self, object: &CloudObject) -> Result<()> {
        self.check_scheme(object)?;
        self.storage.delete(&object.bucket, &object.key).await
    }

    /// Refuses a cloud object of another storage. The bucket and the key would be looked up in the
    /// wrong place.
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
    /// Shows where the storage is, but not the storage itself, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageClient").field("info", &self.info()).field("bucket", &self.bucket).finish()
    }
}

/// Reads a range of an object, and checks that the answer has exactly its length.
async fn ranged(storage: &dyn Storage, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
    let wanted = range.end.saturating_sub(range.start);
    let bytes = storage.get_range(bucket, key, range).await?;
    let came = bytes.len() as u64;
    if came == wanted { Ok(bytes) } else { Err(wrong_length(bucket, key, wanted, came)) }
}

/// The content of an object with this description, as a stream of pieces.
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
    // An object that was replaced during the read is an error, because pieces of two objects must
    // not be combined.
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
