//! The storage `memory`: objects in the memory of this process, for tests.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
    sync::{Arc, LazyLock, PoisonError, RwLock},
    time::SystemTime,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{
    Credentials, Locator, ObjectMeta, PutMode, Storage, StorageCapabilities, StorageDescriptor, StorageInfo,
    contract::{exists_already, no_such_object, out_of_bounds},
    local::files::DEFAULT_BUCKET,
    names,
};
use crate::{
    bytes::Bytes,
    config::{Config, Key},
    error::Result,
};

const SCHEME: &str = "memory";

/// The one storage of the process, so that all clients with its locator see the same objects. It
/// ends with the process.
static MEMORY: LazyLock<Arc<MemoryStorage>> = LazyLock::new(Arc::default);

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "the memory of this process, which workers cannot reach",
        package: env!("CARGO_PKG_NAME"),
        keys: &[Key::used("storage_bucket", "the bucket of jobs and cloud objects, `storage` otherwise")],
        locate,
        credentials: |_| Ok(Credentials::default()),
        connect,
    }
}

fn locate(config: &Config) -> Result<Locator> {
    let bucket = config.section(SCHEME).string("storage_bucket")?.unwrap_or(DEFAULT_BUCKET);
    names::check_bucket(bucket)?;
    Ok(Locator::new(SCHEME, bucket))
}

#[expect(clippy::unnecessary_wraps, reason = "the descriptor's form: other storages can fail to connect")]
fn connect(_: &Locator, _: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::<MemoryStorage>::clone(&MEMORY))
}

/// Objects in the memory of this process. Every value is a storage of its own, empty at first.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    buckets: RwLock<BTreeMap<String, Objects>>,
}

#[derive(Debug, Default)]
struct Objects {
    by_key: BTreeMap<String, Object>,
    /// How many objects were stored so far: the etag of the last one.
    stored: u64,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    modified: SystemTime,
    etag: u64,
}

impl Object {
    fn describe(&self, key: &str) -> ObjectMeta {
        let (size, etag) = (self.bytes.len() as u64, Some(self.etag.to_string()));
        ObjectMeta { key: key.to_owned(), size, modified: self.modified, etag }
    }
}

impl MemoryStorage {
    fn find(&self, bucket: &str, key: &str, doing: &'static str) -> Result<Object> {
        names::check_bucket(bucket)?;
        names::check_key(key)?;
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        let found = buckets.get(bucket).and_then(|objects| objects.by_key.get(key)).cloned();
        found.ok_or_else(|| no_such_object(bucket, key, doing))
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn info(&self) -> StorageInfo {
        StorageInfo { scheme: SCHEME, location: "memory of this process".to_owned() }
    }

    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities::default()
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        names::check_bucket(bucket)?;
        names::check_key(key)?;
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let objects = buckets.entry(bucket.to_owned()).or_default();
        if mode == PutMode::IfAbsent && objects.by_key.contains_key(key) {
            return Err(exists_already(bucket, key));
        }
        objects.stored += 1;
        let object = Object { bytes, modified: SystemTime::now(), etag: objects.stored };
        objects.by_key.insert(key.to_owned(), object);
        Ok(())
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        Ok(self.find(bucket, key, "read")?.bytes)
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        let bytes = self.find(bucket, key, "read")?.bytes;
        let outside = || out_of_bounds(bucket, key, &range, bytes.len() as u64);
        let wanted = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let wanted = wanted.filter(|(start, end)| start <= end && *end <= bytes.len()).ok_or_else(outside)?;
        Ok(Bytes::from(bytes.into_inner().slice(wanted.0..wanted.1)))
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        Ok(self.find(bucket, key, "look at")?.describe(key))
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = names::check_bucket(bucket) {
            return stream::iter([Err(error)]).boxed();
        }
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let found = buckets.get(bucket).into_iter().flat_map(|objects| objects.by_key.range::<str, _>(from));
        let found = found.take_while(|(key, _)| key.starts_with(prefix));
        let found: Vec<_> = found.map(|(key, object)| Ok(object.describe(key))).collect();
        stream::iter(found).boxed()
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.delete_many(bucket, vec![key.to_owned()]).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        names::check_bucket(bucket)?;
        keys.iter().try_for_each(|key| names::check_key(key))?;
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = buckets.get_mut(bucket) {
            for key in &keys {
                objects.by_key.remove(key);
            }
        }
        Ok(())
    }
}
