//! Measures how long a warm fleet takes from `map` to the first result, with a storage that takes 25 ms a request.
//!
//! `cargo run --release -p lithops-conformance --example fleet_latency [IDLE SECONDS]`

use std::{
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use lithops_backend_localhost as _;
use lithops_core::{
    bytes::Bytes,
    error::Result,
    executor::FunctionExecutor,
    storage::{
        Credentials, FileStorage, Locator, ObjectMeta, PutMode, Storage, StorageCapabilities,
        StorageDescriptor, StorageInfo,
    },
};
use lithops_macros::function;

/// How long a request takes.
const REQUEST: Duration = Duration::from_millis(25);
/// How many jobs are measured right after another one, and how many after the fleet was idle.
const FRESH: usize = 41;
const IDLE: usize = 7;

/// The storage `localhost`, with requests that take their time.
#[derive(Debug)]
struct Slow(FileStorage);

async fn wait() {
    tokio::time::sleep(REQUEST).await;
}

#[async_trait]
impl Storage for Slow {
    fn info(&self) -> StorageInfo {
        self.0.info()
    }
    fn capabilities(&self) -> StorageCapabilities {
        self.0.capabilities()
    }
    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        wait().await;
        self.0.put(bucket, key, bytes, mode).await
    }
    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        wait().await;
        self.0.get(bucket, key).await
    }
    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        wait().await;
        self.0.get_range(bucket, key, range).await
    }
    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        wait().await;
        self.0.head(bucket, key).await
    }
    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.0.list(bucket, prefix);
        stream::once(wait())
            .map(move |()| None)
            .chain(listed.map(Some))
            .filter_map(std::future::ready)
            .boxed()
    }
    fn is_unfinished(&self, name: &str) -> bool {
        self.0.is_unfinished(name)
    }
    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        wait().await;
        self.0.delete(bucket, key).await
    }
    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        wait().await;
        self.0.delete_many(bucket, keys).await
    }
}

lithops_core::inventory::submit! {
    StorageDescriptor {
        scheme: "slow",
        summary: "files, with requests that take 25 ms",
        package: "lithops-conformance",
        keys: &[],
        locate: |_| {
            let root = std::env::temp_dir().join(format!("lithops-slow-{}", std::process::id()));
            Ok(Locator::new("slow", "storage").with_root(root.display().to_string()))
        },
        credentials: |_| Ok(Credentials::default()),
        connect: |locator, _| {
            let storage = FileStorage::new(Path::new(locator.root.as_deref().unwrap_or_default()))?;
            Ok(Arc::new(Slow(storage)))
        },
    }
}

#[function(crate = "lithops_conformance")]
fn square(x: u64) -> u64 {
    x * x
}

async fn first_result(fexec: &FunctionExecutor) -> Duration {
    let begun = Instant::now();
    let futures = fexec.map(square, 0..4).chunksize(1).await.expect("a job");
    futures[0].result().await.expect("a result");
    let took = begun.elapsed();
    futures.get_result().await.expect("results");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "this is a command")]
fn main() {
    lithops_worker::enter();
    let idle = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(65);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let yaml = "lithops: {storage: slow}\nlocalhost: {dispatch: pull, launch: document, look: 1s, \
                    worker_processes: 1, max_workers: 4}";
        let fexec =
            FunctionExecutor::builder().config_yaml(yaml).progress(false).build().await.expect("an executor");
        for _ in 0..3 {
            first_result(&fexec).await;
        }
        let mut fresh = Vec::new();
        for _ in 0..FRESH {
            fresh.push(first_result(&fexec).await);
        }
        println!(
            "right after another map: median {:.2?}, at most {:.2?}",
            median(fresh.clone()),
            fresh.iter().max().expect("some")
        );
        let mut after = Vec::new();
        for _ in 0..IDLE {
            tokio::time::sleep(Duration::from_secs(idle)).await;
            after.push(first_result(&fexec).await);
        }
        println!(
            "after {idle} s of idleness: median {:.2?}, at most {:.2?}",
            median(after.clone()),
            after.iter().max().expect("some")
        );
    });
}
