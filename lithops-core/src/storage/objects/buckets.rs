//! [`Buckets`]: all buckets that the same credentials open at the same address.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream, stream::BoxStream};

use super::ObjectStorage;
use crate::{
    bytes::Bytes,
    error::Result,
    storage::{ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo, names::check_bucket},
};

/// The storage of a descriptor whose clients reach one bucket each: it opens a bucket when it is first named, and keeps
/// it.
pub struct Buckets {
    info: StorageInfo,
    capabilities: StorageCapabilities,
    open: Box<Open>,
    opened: Mutex<HashMap<String, Arc<ObjectStorage>>>,
}

type Open = dyn Fn(&str) -> Result<ObjectStorage> + Send + Sync;

impl Buckets {
    /// The buckets that `open` opens by their names.
    pub fn new(
        info: StorageInfo,
        capabilities: StorageCapabilities,
        open: impl Fn(&str) -> Result<ObjectStorage> + Send + Sync + 'static,
    ) -> Self {
        Self { info, capabilities, open: Box::new(open), opened: Mutex::default() }
    }

    fn bucket(&self, bucket: &str) -> Result<Arc<ObjectStorage>> {
        check_bucket(bucket)?;
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = all.get(bucket) {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new((self.open)(bucket)?);
        all.insert(bucket.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }
}

#[async_trait]
impl Storage for Buckets {
    fn info(&self) -> StorageInfo {
        self.info.clone()
    }

    fn capabilities(&self) -> StorageCapabilities {
        self.capabilities
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.bucket(bucket)?.put(bucket, key, bytes, mode).await
    }

    async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        pieces: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        self.bucket(bucket)?.put_stream(bucket, key, pieces).await
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.bucket(bucket)?.get(bucket, key).await
    }

    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        self.bucket(bucket)?.get_within(bucket, key, limit).await
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.bucket(bucket)?.get_range(bucket, key, range).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.bucket(bucket)?.head(bucket, key).await
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.bucket(bucket) {
            Ok(opened) => opened.list(bucket, prefix),
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        }
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.bucket(bucket)?.delete(bucket, key).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        self.bucket(bucket)?.delete_many(bucket, keys).await
    }
}

impl fmt::Debug for Buckets {
    /// Shows where the storage is, and leaves out the clients, which hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("info", &self.info).finish_non_exhaustive()
    }
}
