//! The storage `localhost`: objects are files in a folder.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream, stream::BoxStream};

use super::{
    FileStorage,
    files::{DEFAULT_BUCKET, SCHEME, is_staged},
    folder,
};
use crate::{
    bytes::Bytes,
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
    storage::{
        Credentials, Locator, ObjectMeta, PutMode, Storage, StorageCapabilities, StorageDescriptor,
        StorageInfo, names,
    },
};

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "files in a folder of this machine",
        package: env!("CARGO_PKG_NAME"),
        keys: &[
            Key::used("storage_bucket", "the bucket of jobs and cloud objects, `storage` otherwise"),
            Key::used("storage_root", "the folder that holds the buckets, <tmp>/lithops-<user>/storage otherwise"),
        ],
        locate,
        credentials: |_| Ok(Credentials::default()),
        connect,
    }
}

fn locate(config: &Config) -> Result<Locator> {
    let section = config.section(SCHEME);
    let root = section.path("storage_root")?.unwrap_or_else(default_root);
    // The path is made absolute, because workers may have another working directory than the client.
    let root = std::path::absolute(root)?;
    let bucket = section.string("storage_bucket")?.unwrap_or(DEFAULT_BUCKET);
    names::check_bucket(bucket)?;
    let root = root.into_os_string().into_string().map_err(|root| {
        Error::new(ErrorKind::ConfigInvalid, format!("the storage folder `{}` is not UTF-8", root.display()))
            .with_hint("set `storage_root` in section `localhost` to another folder")
    })?;
    Ok(Locator::new(SCHEME, bucket).with_root(root))
}

#[expect(clippy::unnecessary_wraps, reason = "the descriptor's form: other storages can fail to connect")]
fn connect(locator: &Locator, _: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(Folder::new(locator.root.as_ref().map_or_else(default_root, PathBuf::from))))
}

/// The files below a folder, which is created and checked at the first operation: a job that stores nothing
/// needs no folder. An error of that is returned by the operation, and the next operation tries again.
#[derive(Debug, Clone)]
struct Folder {
    root: PathBuf,
    opened: Arc<OnceLock<FileStorage>>,
}

impl Folder {
    fn new(root: PathBuf) -> Self {
        Self { root, opened: Arc::default() }
    }

    /// Checks and creates the folder at the first call.
    fn open(&self) -> Result<&FileStorage> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        folder::check_below_shared(&self.root)?;
        let own = folder::of_this_user();
        if self.root.starts_with(&own) {
            folder::create_own(&own)?;
        }
        let opened = FileStorage::new(&self.root)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

#[async_trait]
impl Storage for Folder {
    fn info(&self) -> StorageInfo {
        StorageInfo { scheme: SCHEME, location: self.root.display().to_string() }
    }

    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities { shared_between_processes: true }
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.open()?.put(bucket, key, bytes, mode).await
    }

    async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        pieces: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        self.open()?.put_stream(bucket, key, pieces).await
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.open()?.get(bucket, key).await
    }

    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        self.open()?.get_within(bucket, key, limit).await
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.open()?.get_range(bucket, key, range).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.open()?.head(bucket, key).await
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.open() {
            Ok(opened) => opened.list(bucket, prefix),
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        }
    }

    fn survey(&self, bucket: &str, folder: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.open() {
            Ok(opened) => opened.survey(bucket, folder),
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        }
    }

    async fn remove_folder(&self, bucket: &str, folder: &str) -> Result<()> {
        self.open()?.remove_folder(bucket, folder).await
    }

    fn is_unfinished(&self, name: &str) -> bool {
        is_staged(name)
    }

    async fn remove_unfinished(&self, bucket: &str, name: &str) -> Result<bool> {
        self.open()?.remove_unfinished(bucket, name).await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.open()?.delete(bucket, key).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        self.open()?.delete_many(bucket, keys).await
    }
}

/// What other users may do with the folder of a storage, as a text; `None` if they may do nothing,
/// or the storage has no folder.
pub fn openness(locator: &Locator) -> Option<String> {
    let root = locator.root.as_ref().filter(|_| locator.scheme == SCHEME)?;
    Some(format!("the storage folder `{root}` {}", folder::openness(Path::new(root))?))
}

fn default_root() -> PathBuf {
    folder::of_this_user().join("storage")
}
