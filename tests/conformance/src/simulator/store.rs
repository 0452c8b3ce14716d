//! The simulated storage: it fails before or after it has done what was asked, takes its time, and its clock is wrong.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use lithops_core::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    storage::{MemoryStorage, ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo},
};
use tokio::time::sleep;

use super::{Scenario, random::Random};

/// A storage in memory that misbehaves as its scenario says.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    objects: MemoryStorage,
    errors: u64,
    overwrites: bool,
    skew: i64,
    random: Mutex<Random>,
}

/// Whether an operation fails, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Before,
    After,
}

impl SimulatedStore {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            objects: MemoryStorage::default(),
            errors: scenario.storage_errors,
            overwrites: scenario.overwrites,
            skew: scenario.skew,
            random: Mutex::new(Random::new(scenario.seed.rotate_left(29))),
        }
    }

    fn draw(&self) -> (Duration, Fault) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = Duration::from_millis(random.below(20));
        let fault = match (random.happens(self.errors), random.happens(500)) {
            (false, _) => Fault::None,
            (true, true) => Fault::Before,
            (true, false) => Fault::After,
        };
        (takes, fault)
    }

    async fn faulty<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let (takes, fault) = self.draw();
        sleep(takes).await;
        if fault == Fault::Before {
            return Err(fails());
        }
        let done = operation.await;
        if fault == Fault::After { Err(fails()) } else { done }
    }
}

fn fails() -> Error {
    Error::new(ErrorKind::Io, "the simulated storage fails").with_retry(Retry::Later)
}

#[async_trait]
impl Storage for SimulatedStore {
    fn info(&self) -> StorageInfo {
        StorageInfo { scheme: "simulated", location: "virtual time".into() }
    }

    fn capabilities(&self) -> StorageCapabilities {
        self.objects.capabilities()
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let mode = if self.overwrites && key.contains("/commit/") { PutMode::Overwrite } else { mode };
        self.faulty(self.objects.put(bucket, key, bytes, mode)).await
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.faulty(self.objects.get(bucket, key)).await
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.faulty(self.objects.get_range(bucket, key, range)).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.faulty(self.objects.head(bucket, key)).await
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let (takes, fault) = self.draw();
        let skew = self.skew;
        let listed = self.objects.list(bucket, prefix).map(move |object| {
            object.map(|mut object| {
                let by = Duration::from_secs(skew.unsigned_abs());
                object.modified = if skew < 0 { object.modified - by } else { object.modified + by };
                object
            })
        });
        let begun = async move {
            sleep(takes).await;
            if fault == Fault::None { listed.boxed() } else { stream::once(async { Err(fails()) }).boxed() }
        };
        stream::once(begun).flatten().boxed()
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.faulty(self.objects.delete(bucket, key)).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        self.faulty(self.objects.delete_many(bucket, keys)).await
    }
}
