//! [`StorageClient`]: the user's handle of a storage.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Locator, ObjectMeta, PutMode, Storage, StorageInfo};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
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
        self.storage.get_range(bucket, key, range).await
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
        let path = path.as_ref().to_owned();
        let content = tokio::fs::read(&path).await.map_err(|error| file_error("read", &path, error))?;
        self.storage.put(bucket, key, content.into(), PutMode::Overwrite).await
    }

    /// Writes an object to a file, in the place of one that exists; the file is there whole or not at all.
    ///
    /// # Errors
    /// `NotFound` when the object does not exist; or the file cannot be written.
    pub async fn download_file(&self, bucket: &str, key: &str, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref().to_owned();
        let content = self.storage.get(bucket, key).await?;
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(format!(".{}.part", Uuid::now_v7().simple()));
        let unfinished = PathBuf::from(unfinished);
        let written = async {
            tokio::fs::write(&unfinished, &content).await?;
            tokio::fs::rename(&unfinished, &path).await
        };
        if let Err(error) = written.await {
            // Nothing more can be done about a leftover; the first error is the one to tell.
            drop(tokio::fs::remove_file(&unfinished).await);
            return Err(file_error("write", &path, error));
        }
        Ok(())
    }

    /// Stores bytes under a name of their own.
    ///
    /// # Errors
    /// The storage refuses the object.
    pub async fn put_cloudobject(&self, bytes: impl Into<Bytes>) -> Result<CloudObject> {
        let bytes = bytes.into();
        let key = format!("cloudobjects/{}", Uuid::now_v7());
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

fn file_error(doing: &str, path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot {doing} the file `{}`, {error}", path.display());
    let kind = Error::from(std::io::Error::from(error.kind())).kind();
    Error::new(kind, message).with_context("file", path.display().to_string()).with_source(error)
}
