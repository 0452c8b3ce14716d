//! [`S3Storage`]: all buckets that the same credentials open at the same address.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use lithops_core::{
    bytes::Bytes,
    error::Result,
    storage::{
        Credentials, Locator, ObjectMeta, ObjectStorage, PutMode, Storage, StorageCapabilities, StorageInfo,
        StorageRetryPolicy, check_bucket, descriptor,
    },
};
use object_store::aws::AwsCredentialProvider;

use crate::{
    bucket::{self, Opened},
    credentials,
};

/// Opens what a locator names.
pub(crate) fn connect(locator: &Locator, credentials: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(S3Storage::new(locator, credentials)?))
}

/// S3, or another store with the API of S3.
pub struct S3Storage {
    locator: Locator,
    info: StorageInfo,
    credentials: AwsCredentialProvider,
    patience: StorageRetryPolicy,
    buckets: Mutex<HashMap<String, Opened>>,
}

impl S3Storage {
    /// The storage that a locator names. Without credentials the usual chain of AWS is asked when the first request is
    /// signed.
    ///
    /// # Errors
    /// The scheme of the locator is none of this crate.
    pub fn new(locator: &Locator, credentials: &Credentials) -> Result<Self> {
        let region = locator.region.clone().unwrap_or_default();
        Ok(Self {
            locator: locator.clone(),
            info: StorageInfo {
                scheme: descriptor(&locator.scheme)?.scheme,
                location: locator.endpoint.clone().unwrap_or(region),
            },
            credentials: credentials::provider(credentials),
            patience: match &locator.endpoint {
                Some(endpoint) => StorageRetryPolicy::network().of(endpoint),
                None => StorageRetryPolicy::network(),
            },
            buckets: Mutex::default(),
        })
    }

    fn bucket(&self, bucket: &str) -> Result<Opened> {
        check_bucket(bucket)?;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = buckets.get(bucket) {
            return Ok(Arc::clone(opened));
        }
        let store = bucket::open(&self.locator, bucket, Arc::clone(&self.credentials))?;
        let patience = self.patience.clone();
        let opened = ObjectStorage::bucket(Arc::new(store), self.info(), self.capabilities(), patience);
        let opened = Arc::new(opened);
        buckets.insert(bucket.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }
}

#[async_trait]
impl Storage for S3Storage {
    fn info(&self) -> StorageInfo {
        self.info.clone()
    }

    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities { shared_between_processes: true }
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

impl fmt::Debug for S3Storage {
    /// Shows where the storage is, and leaves out the clients, which hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Storage").field("info", &self.info).finish_non_exhaustive()
    }
}
