//! [`Storage`]: the interface of a storage.

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
/// Keys are text with `/` between their segments. There are no folders: `list` takes any prefix of a key. A
/// storage refuses a key that it cannot hold with [`InvalidInput`](crate::error::ErrorKind::InvalidInput),
/// and never changes it. A bucket need not be created, unless the platform requires that.
///
/// Code branches on the kind of an error, so that the kind is a promise. The message is for people: it is one line,
/// and names the key of the object that the operation was about. [`no_such_object`], [`exists_already`],
/// [`out_of_bounds`], [`too_large`] and [`wrong_length`] make such errors.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// The name and the location of the storage.
    fn info(&self) -> StorageInfo;

    /// The properties in which storages differ.
    fn capabilities(&self) -> StorageCapabilities;

    /// Stores an object. Readers see the whole object or none of it.
    ///
    /// # Errors
    /// `AlreadyExists` with [`PutMode::IfAbsent`] when the object exists. Of several simultaneous
    /// writers exactly one succeeds.
    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()>;

    /// Stores an object from a stream of pieces, and replaces an existing one. Readers see the
    /// whole object or none of it. When the stream ends with an error, nothing is stored.
    ///
    /// # Errors
    /// The error of the stream; or the storage refuses the object.
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
    /// `NotFound` when the object does not exist.
    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes>;

    /// Reads an object of at most `limit` bytes.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist. `PayloadTooLarge` when it is longer; its content
    /// is not read then.
    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        let size = self.head(bucket, key).await?.size;
        if size > limit {
            return Err(too_large(bucket, key, size, limit));
        }
        self.get(bucket, key).await
    }

    /// Reads a part of an object. An empty range within the object gives no bytes.
    ///
    /// # Errors
    /// `InvalidInput` when the range is reversed or ends beyond the object. `NotFound` when the
    /// object does not exist.
    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes>;

    /// The size, the time and the etag of an object, without reading it.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist.
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta>;

    /// The objects whose keys start with `prefix`, in the order of the keys' bytes. Keys that all
    /// other operations refuse are listed too. Folder markers, which are empty objects whose keys
    /// end in `/`, are left out. An entry that is no object is an error that names the entry. A
    /// bucket that does not exist is empty, or `NotFound` where buckets must be created.
    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>>;

    /// Lists all that is below one of Lithops' own folders (`folder` ends with `/`), for cleanup.
    /// What interrupted puts have left behind is listed under the name that it has. An entry that
    /// cannot be read is an error in the stream, which then continues.
    fn survey(&self, bucket: &str, folder: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list(bucket, folder)
    }

    /// Removes one of Lithops' own folders (`folder` ends with `/`), with what interrupted puts
    /// have left in it. A folder that does not exist is no error. The default removes objects
    /// alone: a storage whose interrupted puts leave something has its own.
    async fn remove_folder(&self, bucket: &str, folder: &str) -> Result<()> {
        let keys = self.list(bucket, folder).map_ok(|object| object.key).try_collect().await?;
        self.delete_many(bucket, keys).await
    }

    /// Whether a name from [`survey`](Self::survey) is not that of an object, but of what an
    /// interrupted put has left.
    fn is_unfinished(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Removes what an interrupted put has left, by its name from [`survey`](Self::survey), unless
    /// the put may still be running. Returns whether it was removed.
    async fn remove_unfinished(&self, bucket: &str, name: &str) -> Result<bool> {
        let _ = (bucket, name);
        Ok(false)
    }

    /// Removes an object. An object that does not exist is no error.
    async fn delete(&self, bucket: &str, key: &str) -> Result<()>;

    /// Removes several objects. Objects that do not exist are no error. After an error some of the
    /// objects may be left.
    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()>;
}

/// How a put treats an existing object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PutMode {
    /// The existing object is replaced.
    #[default]
    Overwrite,
    /// The existing object stays, and the put fails with `AlreadyExists`.
    IfAbsent,
}

/// The name and the location of a storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StorageInfo {
    /// The name of the storage, such as `localhost`.
    pub scheme: &'static str,
    /// The folder, region or endpoint, without secrets.
    pub location: String,
}

/// The properties in which storages differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct StorageCapabilities {
    /// Whether another process with the same locator sees the same objects.
    pub shared_between_processes: bool,
}

/// The description of an object, which can be had without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectMeta {
    /// The key of the object.
    pub key: String,
    /// The length of the object in bytes.
    pub size: u64,
    /// When the object was stored, by the storage's clock.
    pub modified: SystemTime,
    /// A tag that changes with the content; `None` where the storage has none.
    pub etag: Option<String>,
}

/// The error of a range that is reversed or ends beyond its object, for implementations of
/// [`Storage::get_range`].
#[must_use]
pub fn out_of_bounds(bucket: &str, key: &str, range: &Range<u64>, size: u64) -> Error {
    let (Range { start, end }, object) = (range, format!("object `{key}` in bucket `{bucket}`"));
    let (message, hint) = match start > end {
        true => (
            format!("the range {start}..{end} of {object} ends before it starts"),
            "write start..end".to_owned(),
        ),
        false => (
            format!("the range {start}..{end} ends beyond {object}, which has {size} bytes"),
            format!("end it at {size} at most"),
        ),
    };
    Error::new(ErrorKind::InvalidInput, message)
        .with_hint(hint)
        .with_context("operation", "read")
        .with_context("bucket", bucket)
        .with_context("key", key)
}

/// The error of a put with [`PutMode::IfAbsent`] where there is an object, for implementations of [`Storage::put`].
#[must_use]
pub fn exists_already(bucket: &str, key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("object `{key}` in bucket `{bucket}` exists already"))
        .with_context("operation", "store")
        .with_context("bucket", bucket)
        .with_context("key", key)
}

/// The error of an operation on an object that does not exist, for implementations of [`Storage`]. `doing` is the
/// operation, such as `read`.
#[must_use]
pub fn no_such_object(bucket: &str, key: &str, doing: &'static str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no object `{key}` in bucket `{bucket}`"))
        .with_context("operation", doing)
        .with_context("bucket", bucket)
        .with_context("key", key)
}

/// The error of an object that is longer than expected, for implementations of [`Storage::get_within`].
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

/// The error of an answer that does not have the requested length, for implementations of
/// [`Storage::get`] and [`Storage::get_range`]. A retry may bring all bytes.
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
