//! [`ObjectStorage`]: [`Storage`] over a store of the crate `object_store`.

use std::{ops::Range, path::Path as FilePath, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode as StoreMode, PutOptions,
    local::LocalFileSystem, memory::InMemory, path::Path,
};

use super::{
    ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo,
    faults::{io_error, translate},
    folder, local, memory, names,
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
};

/// How often a put is tried again whose folder another process has removed meanwhile, because it had become empty.
const FOLDER_RACES: u32 = 20;

/// A storage over one store, whose buckets are the first parts of the paths.
#[derive(Debug, Clone)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    info: StorageInfo,
    capabilities: StorageCapabilities,
    /// Whether objects are files, named as the file system allows.
    files: bool,
}

impl ObjectStorage {
    /// The files below `root`, which is created for this user alone if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be created or is none.
    pub fn local(root: &FilePath) -> Result<Self> {
        folder::create(root)?;
        let fault = |error: object_store::Error| {
            let io = io_error(&error).map(ToString::to_string);
            let message = format!("cannot use the folder `{}`, {}", root.display(), io.unwrap_or_default());
            Error::new(ErrorKind::Io, message)
                .with_hint("set `storage_root` in section `localhost` to a folder of yours")
                .with_source(error)
        };
        // Folders that deletes have emptied go too: a job leaves nothing behind.
        let store = LocalFileSystem::new_with_prefix(root).map_err(fault)?.with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            info: StorageInfo { scheme: local::SCHEME, location: root.display().to_string() },
            capabilities: StorageCapabilities {
                shared_between_processes: true,
                ..StorageCapabilities::default()
            },
            files: true,
        })
    }

    /// Objects in the memory of this process; every call makes an empty storage.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            info: StorageInfo { scheme: memory::SCHEME, location: "memory of this process".to_owned() },
            capabilities: StorageCapabilities::default(),
            files: false,
        }
    }

    fn path(&self, bucket: &str, key: &str) -> Result<Path> {
        let path = names::path(bucket, key)?;
        if self.files { local::check_file_name(key) } else { Ok(()) }.map(|()| path)
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    fn info(&self) -> StorageInfo {
        self.info.clone()
    }

    fn capabilities(&self) -> StorageCapabilities {
        self.capabilities
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let path = self.path(bucket, key)?;
        let mode = match mode {
            PutMode::Overwrite => StoreMode::Overwrite,
            PutMode::IfAbsent => StoreMode::Create,
        };
        let bytes = bytes.into_inner();
        let mut races = 0;
        loop {
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            match self.store.put_opts(&path, bytes.clone().into(), options).await {
                Ok(_) => return Ok(()),
                Err(error) if self.files && races < FOLDER_RACES && is_folder_race(&error) => races += 1,
                Err(error) => return Err(translate(error, "store", bucket, key)),
            }
        }
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        let path = self.path(bucket, key)?;
        let read = async { self.store.get(&path).await?.bytes().await };
        read.await.map(Bytes::from).map_err(|error| translate_read(error, "read", bucket, key))
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.path(bucket, key)?;
        let outside = |size| out_of_bounds(bucket, key, &range, size);
        // Stores refuse empty ranges, and some say nothing of the size when the range lies beyond it.
        if range.start >= range.end {
            let size = self.head(bucket, key).await?.size;
            return if range.start == range.end && range.end <= size {
                Ok(Bytes::default())
            } else {
                Err(outside(size))
            };
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let result = match self.store.get_opts(&path, options).await {
            Ok(result) => result,
            Err(error) => {
                let size = self.head(bucket, key).await?.size;
                let fits = range.end <= size;
                return Err(if fits { translate_read(error, "read", bucket, key) } else { outside(size) });
            }
        };
        if result.range != range {
            return Err(outside(result.meta.size));
        }
        result.bytes().await.map(Bytes::from).map_err(|error| translate_read(error, "read", bucket, key))
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        let path = self.path(bucket, key)?;
        let meta =
            self.store.head(&path).await.map_err(|error| translate_read(error, "look at", bucket, key))?;
        Ok(describe(key.to_owned(), meta))
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let folder = match names::folder(bucket, prefix) {
            Ok(Some(folder)) => folder,
            Ok(None) => return stream::empty().boxed(),
            Err(error) => return stream::once(future::ready(Err(error))).boxed(),
        };
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        let mut listing = self.store.list(Some(&folder));
        let sorted = async move {
            let mut listed = Vec::new();
            while let Some(object) = listing.next().await {
                match object.map_err(|error| translate_read(error, "list", &bucket, &prefix)) {
                    Ok(object) => listed.push(object),
                    // The folder is not there and holds no objects; later on it would be a part that is missing.
                    Err(error) if error.kind() == ErrorKind::NotFound && listed.is_empty() => break,
                    Err(error) => return stream::iter(vec![Err(error)]),
                }
            }
            let mut objects: Vec<_> = listed
                .into_iter()
                .filter_map(|meta| Some(describe(names::key(&bucket, &meta.location)?, meta)))
                .filter(|object| object.key.starts_with(&prefix))
                .collect();
            objects.sort_unstable_by(|left, right| left.key.cmp(&right.key));
            stream::iter(objects.into_iter().map(Ok).collect::<Vec<_>>())
        };
        stream::once(sorted).flatten().boxed()
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let path = self.path(bucket, key)?;
        self.store.delete(&path).await.or_else(|error| forgive_absence(error, bucket, key))
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        let paths = keys.iter().map(|key| self.path(bucket, key)).collect::<Result<Vec<_>>>()?;
        let mut deleted = self.store.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(outcome) = deleted.next().await {
            outcome.map(drop).or_else(|error| {
                let (first, last) = (keys.first(), keys.last());
                let key = if first == last { first.map_or("", String::as_str) } else { "(one of several)" };
                forgive_absence(error, bucket, key)
            })?;
        }
        Ok(())
    }
}

fn describe(key: String, meta: object_store::ObjectMeta) -> ObjectMeta {
    ObjectMeta { key, size: meta.size, modified: meta.last_modified.into(), etag: meta.e_tag }
}

/// The errors of operations that need an object to exist: where a folder or a part of the key is in the way, there
/// is no such object.
fn translate_read(error: object_store::Error, doing: &'static str, bucket: &str, key: &str) -> Error {
    let absent = io_error(&error).is_some_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::NotADirectory | std::io::ErrorKind::IsADirectory)
    });
    let error = match absent {
        true => object_store::Error::NotFound { path: key.to_owned(), source: Box::new(error) },
        false => error,
    };
    translate(error, doing, bucket, key)
}

fn forgive_absence(error: object_store::Error, bucket: &str, key: &str) -> Result<()> {
    match translate_read(error, "delete", bucket, key) {
        error if error.kind() == ErrorKind::NotFound => Ok(()),
        error => Err(error),
    }
}

fn is_folder_race(error: &object_store::Error) -> bool {
    io_error(error).is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn out_of_bounds(bucket: &str, key: &str, range: &Range<u64>, size: u64) -> Error {
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
