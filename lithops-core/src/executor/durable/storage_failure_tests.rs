//! How long and how often requests for Lithops' own objects are repeated on a storage that fails.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use tokio::time::Instant;

#[cfg(feature = "artifacts")]
use crate::{
    artifact::{Artifact, StoredProgram},
    digest::Digest,
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    fleet::Fleet,
    id::JobId,
    journal::{Journal, Lease, Owner},
    protocol::SignKey,
    storage::{
        BlobRef, MemoryStorage, ObjectMeta, PutMode, Storage, StorageCapabilities, StorageClient,
        StorageInfo, StorageRetryPolicy,
    },
};

/// A storage that fails while `is_broken` is set, and repeats requests by its own retry policy.
#[derive(Debug)]
struct Failing {
    well: MemoryStorage,
    patience: StorageRetryPolicy,
    /// Whether the service answers, with status 500, or does not answer at all.
    answers: bool,
    is_broken: AtomicBool,
    /// Whether puts take effect although they return an error.
    puts_happen: bool,
    requests: AtomicU32,
}

impl Failing {
    async fn ask<T>(&self) -> Result<Option<T>> {
        let request = |_| async {
            self.requests.fetch_add(1, Ordering::Relaxed);
            if !self.is_broken.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let error = Error::new(ErrorKind::Io, "it fails").with_retry(Retry::Later);
            Err(if self.answers { error.with_context("status", "500") } else { error })
        };
        self.patience.run(request).await
    }
}

#[async_trait]
impl Storage for Failing {
    fn info(&self) -> StorageInfo {
        self.well.info()
    }
    fn capabilities(&self) -> StorageCapabilities {
        self.well.capabilities()
    }
    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        if self.puts_happen && self.is_broken.swap(false, Ordering::Relaxed) {
            self.well.put(bucket, key, bytes, mode).await?;
            return Err(Error::new(ErrorKind::Io, "nobody knows").with_retry(Retry::Later));
        }
        self.ask::<()>().await?;
        self.well.put(bucket, key, bytes, mode).await
    }
    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.ask::<()>().await?;
        self.well.get(bucket, key).await
    }
    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.ask::<()>().await?;
        self.well.get_range(bucket, key, range).await
    }
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.ask::<()>().await?;
        self.well.head(bucket, key).await
    }
    fn list(&self, _: &str, _: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let failed = self.ask::<()>().now_or_never().and_then(Result::err);
        stream::iter(failed.map(Err)).boxed()
    }
    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.ask::<()>().await?;
        self.well.delete(bucket, key).await
    }
    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        self.ask::<()>().await?;
        self.well.delete_many(bucket, keys).await
    }
}

fn failing(patience: StorageRetryPolicy, answers: bool) -> (Arc<Failing>, StorageClient) {
    let failing = Arc::new(Failing {
        well: MemoryStorage::default(),
        patience,
        answers,
        is_broken: AtomicBool::new(true),
        puts_happen: false,
        requests: AtomicU32::new(0),
    });
    (Arc::clone(&failing), StorageClient::new(Arc::<Failing>::clone(&failing), "bucket"))
}

type Operation = (&'static str, BoxFuture<'static, Result<()>>);

/// The requests that jobs, fleets, payloads and programs make to the storage.
fn operations(storage: &StorageClient) -> Vec<Operation> {
    let journal = Journal::new(storage, JobId::generate());
    let fleet = Fleet::new(storage, "fleet", SignKey::generate().expect("a key").verify_key());
    let (lease, record, job) = (journal.clone(), journal.clone(), journal.job());
    let payload = storage.clone();
    let mut operations: Vec<Operation> = vec![
        ("lease", async move { Lease::take(&lease, 1, &Owner::this_process()).await.map(drop) }.boxed()),
        ("record", async move { record.record().await.map(drop) }.boxed()),
        ("delete", async move { journal.delete().await }.boxed()),
        ("manifest", async move { fleet.has(job).await.map(drop) }.boxed()),
        (
            "payload",
            async move { BlobRef::put(&payload, "key".into(), "value".into()).await.map(drop) }.boxed(),
        ),
    ];
    operations.extend(program(storage));
    operations
}

#[cfg(feature = "artifacts")]
fn program(storage: &StorageClient) -> Vec<Operation> {
    let artifact = Artifact { bytes: "program".into(), digest: Digest::of(b"program") };
    let (to, from, shipped) = (storage.clone(), storage.clone(), StoredProgram::of(&artifact));
    let fetched = shipped.clone();
    vec![
        ("program", async move { shipped.put(&artifact, &to).await }.boxed()),
        ("fetch", async move { fetched.fetch(&from, "/nowhere".as_ref()).await.map(drop) }.boxed()),
    ]
}

#[cfg(not(feature = "artifacts"))]
fn program(_: &StorageClient) -> Vec<Operation> {
    Vec::new()
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_fails_is_given_up_after_a_minute_whichever_of_our_objects_is_asked_for() {
    for patience in [StorageRetryPolicy::network, StorageRetryPolicy::none] {
        let count = operations(&failing(patience(), true).1).len();
        for at in 0..count {
            let (failing, storage) = failing(patience(), true);
            let (name, operation) = operations(&storage).swap_remove(at);
            let begun = Instant::now();
            let error = operation.await.expect_err(name);
            let (lasted, requests) = (begun.elapsed(), failing.requests.load(Ordering::Relaxed));
            assert!(error.message().contains("it fails"), "{name}: {error:?}");
            assert!(
                (Duration::from_secs(45)..=Duration::from_secs(60)).contains(&lasted),
                "{name}: {lasted:?}"
            );
            assert!((10..=30).contains(&requests), "{name}: {requests} requests");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_never_answered_is_given_up_after_seconds() {
    let count = operations(&failing(StorageRetryPolicy::network(), false).1).len();
    for at in 0..count {
        let (failing, storage) = failing(StorageRetryPolicy::network().of("http://nowhere"), false);
        let (name, operation) = operations(&storage).swap_remove(at);
        let begun = Instant::now();
        let error = operation.await.expect_err(name);
        assert!(error.to_string().contains("is `http://nowhere` the address"), "{name}: {error}");
        assert!(begun.elapsed() <= Duration::from_secs(4), "{name}: {:?}", begun.elapsed());
        assert!(failing.requests.load(Ordering::Relaxed) <= 8, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_if_absent_that_failed_and_was_made_is_our_own() {
    let uncertain = Failing {
        well: MemoryStorage::default(),
        patience: StorageRetryPolicy::none(),
        answers: true,
        is_broken: AtomicBool::new(true),
        puts_happen: true,
        requests: AtomicU32::new(0),
    };
    let storage = StorageClient::new(Arc::new(uncertain), "bucket");
    let journal = Journal::new(&storage, JobId::generate());
    let owner = Owner::this_process();
    assert!(Lease::take(&journal, 1, &owner).await.expect("asks").is_some());
    let other = Owner { name: "another".into(), ..owner };
    assert!(Lease::take(&journal, 1, &other).await.expect("asks").is_none());
}
