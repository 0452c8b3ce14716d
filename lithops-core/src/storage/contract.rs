//! [`Storage`]: what a storage does.

use std::{fmt::Debug, ops::Range, time::SystemTime};

use async_trait::async_trait;
use futures_util::{TryStreamExt, stream::BoxStream};
use serde::Serialize;

use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
};

/// Objects named by bucket and key.
///
/// Keys are text with `/` between parts, and have no folders: `list` takes any prefix of a key. A key that a storage
/// cannot hold is refused with [`InvalidInput`](crate::error::ErrorKind::InvalidInput), never changed. A bucket need
/// not be created where the platform does not ask for it.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// Which storage it is, and where.
    fn info(&self) -> StorageInfo;

    /// What it can do beyond this trait.
    fn capabilities(&self) -> StorageCapabilities;

    /// Stores an object; readers see the whole of it or nothing.
    ///
    /// # Errors
    /// `AlreadyExists` with [`PutMode::IfAbsent`] when the object exists: of several writers at once exactly one
    /// succeeds.
    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()>;

    /// Stores an object that comes in pieces, in the place of one that exists; readers see the whole of it or nothing.
    /// When the pieces end with an error nothing is stored.
    ///
    /// # Errors
    /// That error; or the storage refuses the object.
    async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        mut pieces: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let mut whole = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        self.put(bucket, key, whole.into(), PutMode::Overwrite).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes>;

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound` when it does not exist, `PayloadTooLarge` when it is longer: then it is not read.
    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        let size = self.head(bucket, key).await?.size;
        if size > limit {
            return Err(too_large(bucket, key, size, limit));
        }
        self.get(bucket, key).await
    }

    /// Reads a part of an object; an empty range within it gives no bytes.
    ///
    /// # Errors
    /// `InvalidInput` when the range is reversed or ends beyond the object, `NotFound` when there is none.
    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes>;

    /// Describes an object.
    ///
    /// # Errors
    /// `NotFound` when it does not exist.
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta>;

    /// The objects whose keys start with `prefix`, in the order of the keys' bytes, also those whose keys are refused
    /// everywhere else; without folder markers, which are empty objects whose keys end in `/`. What is there and is no
    /// object is an error that names it. A bucket that does not exist is
    /// empty, or `NotFound` where buckets have to be made.
    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>>;

    /// Everything below a folder of this system's own (`folder` ends with `/`), for whoever clears up: what unfinished
    /// puts have left is told under the name it has, and an error among the objects says what cannot be read, while the
    /// rest is told all the same.
    fn survey(&self, bucket: &str, folder: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list(bucket, folder)
    }

    /// Removes a folder of this system's own (`folder` ends with `/`), with what unfinished puts have left in it; one
    /// that does not exist is no error.
    async fn remove_folder(&self, bucket: &str, folder: &str) -> Result<()> {
        let keys = self.list(bucket, folder).map_ok(|object| object.key).try_collect().await?;
        self.delete_many(bucket, keys).await
    }

    /// Whether a name that [`survey`](Self::survey) has told is none of an object, but what an unfinished put has left.
    fn is_unfinished(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Removes what an unfinished put has left, by the name that [`survey`](Self::survey) has told, unless whoever has
    /// begun it may still be at it. Returns whether it was removed.
    async fn remove_unfinished(&self, bucket: &str, name: &str) -> Result<bool> {
        let _ = (bucket, name);
        Ok(false)
    }

    /// Removes an object; one that does not exist is no error.
    async fn delete(&self, bucket: &str, key: &str) -> Result<()>;

    /// Removes several objects; those that do not exist are no error. After an error some may be left.
    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()>;
}

/// What happens to an object that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PutMode {
    /// It is replaced.
    #[default]
    Overwrite,
    /// It stays, and the put fails with `AlreadyExists`.
    IfAbsent,
}

/// Which storage it is, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StorageInfo {
    /// The name of the storage, such as `localhost`.
    pub scheme: &'static str,
    /// The folder, region or endpoint; it holds no secret.
    pub location: String,
}

/// What a storage can do beyond the trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct StorageCapabilities {
    /// Another process that has the locator sees the same objects.
    pub shared_between_processes: bool,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectMeta {
    /// The key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored.
    pub modified: SystemTime,
    /// A mark that changes with the content, where the storage has one.
    pub etag: Option<String>,
}

/// The error of an object that is longer than it may be, for whoever implements [`Storage::get_within`].
#[must_use]
pub fn too_large(bucket: &str, key: &str, size: u64, limit: u64) -> Error {
    let message =
        format!("object `{key}` in bucket `{bucket}` has {size} bytes, where at most {limit} are expected");
    Error::new(ErrorKind::PayloadTooLarge, message)
        .with_hint("another program has written there, or the storage is damaged")
        .with_context("operation", "read")
        .with_context("bucket", bucket)
        .with_context("key", key)
}

/// The error of bytes that are not as many as were asked for, for whoever implements [`Storage::get`] and
/// [`Storage::get_range`]: another try may bring all.
#[must_use]
pub fn wrong_length(bucket: &str, key: &str, wanted: u64, came: u64) -> Error {
    let message =
        format!("of object `{key}` in bucket `{bucket}` {came} bytes came where {wanted} were asked for");
    Error::new(ErrorKind::Io, message)
        .with_hint("what stands between here and the storage changes its answers, a proxy or a cache")
        .with_retry(Retry::Later)
        .with_context("operation", "read")
        .with_context("bucket", bucket)
        .with_context("key", key)
}
