//! [`ObjectStorage`]: implements [`Storage`] with a store of the crate `object_store`.

use std::{fmt, ops::Range, path::Path as FilePath, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode as StoreMode, PutOptions,
    list::{PaginatedListOptions, PaginatedListStore},
    local::LocalFileSystem,
    memory::InMemory,
    multipart::MultipartStore,
    path::Path,
};

use super::{
    faults::{self, io_error, translate},
    parts::{self, PART, UploadTarget},
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    storage::{
        ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo, StorageRetryPolicy,
        contract::{too_large, wrong_length},
        local::{
            files::{self, Files},
            folder, listing,
        },
        names,
    },
};

/// The scheme of the storage in memory.
pub(in crate::storage) const MEMORY: &str = "memory";
/// How often a put is repeated after another process has removed its folder, because the folder had
/// become empty.
const FOLDER_RACES: u32 = 20;

/// A storage over one store. In a store of all buckets the first segment of a path is the bucket.
#[derive(Clone)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    info: StorageInfo,
    capabilities: StorageCapabilities,
    network: Option<Network>,
    patience: StorageRetryPolicy,
    /// Present where objects are files: what `object_store` does not do with files.
    files: Option<Files>,
}

/// One bucket of a storage behind a network. Paths are keys there, without the bucket.
#[derive(Clone)]
struct Network {
    /// Uploads objects in parts that are too large for one request.
    parts: Arc<dyn MultipartStore>,
    /// Lists any prefix, page by page.
    pages: Arc<dyn PaginatedListStore>,
}

impl ObjectStorage {
    /// The files below `root`. The folder is created for this user alone if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be created, or `root` is not a folder.
    pub fn local(root: &FilePath) -> Result<Self> {
        folder::create(root)?;
        let fault = |error: object_store::Error| {
            let io = io_error(&error).map(ToString::to_string);
            let message = format!("cannot use the folder `{}`, {}", root.display(), io.unwrap_or_default());
            Error::new(ErrorKind::Io, message)
                .with_hint("set `storage_root` in section `localhost` to a folder of yours")
                .with_source(error)
        };
        let store = LocalFileSystem::new_with_prefix(root).map_err(fault)?;
        Ok(Self {
            store: Arc::new(store),
            info: StorageInfo { scheme: files::SCHEME, location: root.display().to_string() },
            capabilities: StorageCapabilities { shared_between_processes: true },
            network: None,
            patience: StorageRetryPolicy::none(),
            files: Some(Files::below(root)),
        })
    }

    /// Objects in the memory of this process. Every call makes a new, empty storage.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            info: StorageInfo { scheme: MEMORY, location: "memory of this process".to_owned() },
            capabilities: StorageCapabilities::default(),
            network: None,
            patience: StorageRetryPolicy::none(),
            files: None,
        }
    }

    /// One bucket of a storage behind a network. The store's own retries must be off, because
    /// `patience` repeats requests. The store always reaches this bucket, so that the caller must
    /// choose the store by the name of the bucket.
    pub fn bucket<S: ObjectStore + MultipartStore + PaginatedListStore>(
        store: Arc<S>,
        info: StorageInfo,
        capabilities: StorageCapabilities,
        patience: StorageRetryPolicy,
    ) -> Self {
        let network = Some(Network { parts: Arc::<S>::clone(&store), pages: Arc::<S>::clone(&store) });
        Self { store, info, capabilities, network, patience, files: None }
    }

    fn path(&self, bucket: &str, key: &str) -> Result<Path> {
        let path = names::path(bucket, key, self.network.is_some())?;
        if self.files.is_some() { files::check_file_name(key) } else { Ok(()) }.map(|()| path)
    }

    async fn put_once(&self, path: &Path, bytes: &bytes::Bytes, mode: StoreMode) -> object_store::Result<()> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store.put_opts(path, bytes.clone().into(), options).await.map(drop)
    }

    /// A put that replaces nothing. After a failed try an existing object with the same content is
    /// taken as that of the earlier try.
    async fn put_if_absent(&self, bucket: &str, key: &str, path: &Path, bytes: &bytes::Bytes) -> Result<()> {
        self.patience
            .run(|again| async move {
                let Err(error) = self.put_once(path, bytes, StoreMode::Create).await else { return Ok(()) };
                let error = translate(error, "store", bucket, key);
                if again && error.kind() == ErrorKind::AlreadyExists {
                    let found = async { self.store.get(path).await?.bytes().await }.await;
                    let found = found.map_err(|error| translate_read(error, "read", bucket, key))?;
                    return if found == *bytes { Ok(()) } else { Err(error) };
                }
                Err(error)
            })
            .await
    }

    /// Reads a whole object, if it has at most `limit` bytes. A store behind a network is asked for a range,
    /// so that the answer has the length of the object even if a proxy has cut or changed the content.
    async fn read_once(&self, bucket: &str, key: &str, path: &Path, limit: Option<u64>) -> Result<Bytes> {
        let fault = |error| translate_read(error, "read", bucket, key);
        let whole = GetOptions::default();
        let result = if self.network.is_some() {
            let from_start = GetOptions { range: Some(GetRange::Offset(0)), ..GetOptions::default() };
            match self.store.get_opts(path, from_start).await {
                // The object is empty, or the store does not support ranges.
                Err(error) if faults::is_about_range(&error) => self.store.get_opts(path, whole).await,
                result => result,
            }
        } else {
            self.store.get_opts(path, whole).await
        };
        let result = result.map_err(fault)?;
        let size = result.meta.size;
        if let Some(limit) = limit.filter(|limit| size > *limit) {
            return Err(too_large(bucket, key, size, limit));
        }
        let bytes = result.bytes().await.map_err(fault)?;
        if bytes.len() as u64 != size {
            return Err(wrong_length(bucket, key, size, bytes.len() as u64));
        }
        Ok(bytes.into())
    }

    /// Lists candidates for the prefix. A store behind a network lists exactly the prefix; other
    /// stores list its folder.
    fn listing(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Option<BoxStream<'_, object_store::Result<object_store::ObjectMeta>>>> {
        if let Some(network) = &self.network {
            names::check_bucket(bucket)?;
            let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
            let pages = stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
                let (store, prefix) = (Arc::clone(&network.pages), prefix.clone());
                async move {
                    let Some(page_token) = next else { return Ok(None) };
                    let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
                    let page = store.list_paginated(prefix.as_deref(), options).await?;
                    Ok::<_, object_store::Error>(Some((
                        stream::iter(page.result.objects.into_iter().map(Ok)),
                        page.page_token.map(Some),
                    )))
                }
            });
            return Ok(Some(pages.try_flatten().boxed()));
        }
        let folder = names::folder(bucket, prefix)?;
        Ok(folder.map(|folder| self.store.list(Some(&folder))))
    }

    async fn head_once(&self, bucket: &str, key: &str, path: &Path) -> Result<ObjectMeta> {
        let meta = self.store.head(path).await;
        let meta = meta.map_err(|error| translate_read(error, "look at", bucket, key))?;
        Ok(describe(key.to_owned(), meta))
    }

    async fn list_once(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
        if let Some(files) = &self.files {
            let root = files.root();
            let (owned_bucket, owned_prefix) = (bucket.to_owned(), prefix.to_owned());
            let list = move || listing::list(&root, &owned_bucket, &owned_prefix);
            let listed = match tokio::runtime::Handle::try_current() {
                Ok(runtime) => runtime.spawn_blocking(list).await,
                Err(_) => Ok(list()),
            };
            let mut objects =
                listed.map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string()))??;
            objects.sort_unstable_by(|left, right| left.key.cmp(&right.key));
            return Ok(objects);
        }
        let Some(mut listing) = self.listing(bucket, prefix)? else { return Ok(Vec::new()) };
        let mut objects = Vec::new();
        while let Some(object) = listing.next().await {
            match object.map_err(|error| translate_read(error, "list", bucket, prefix)) {
                Ok(meta) => {
                    let key = names::key(bucket, &meta.location, self.network.is_some());
                    objects.extend(key.filter(|key| key.starts_with(prefix)).map(|key| describe(key, meta)));
                }
                // The folder does not exist, so that no object has the prefix. After the first
                // object the same error would mean that a part of the listing is missing.
                Err(error)
                    if error.kind() == ErrorKind::NotFound
                        && self.network.is_none()
                        && objects.is_empty() =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        // Consoles and file browsers create these markers to show folders. The objects are none of
        // the user's data.
        objects.retain(|object| object.size > 0 || !object.key.ends_with('/'));
        objects.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        Ok(objects)
    }
}

impl fmt::Debug for ObjectStorage {
    /// Shows where the storage is, but not the store, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage").field("info", &self.info).finish_non_exhaustive()
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
        let bytes = bytes.into_inner();
        match (&self.network, mode) {
            (Some(_), PutMode::IfAbsent) => self.put_if_absent(bucket, key, &path, &bytes).await,
            (Some(network), PutMode::Overwrite) if bytes.len() > PART => {
                let pieces = stream::once(future::ready(Ok(Bytes::from(bytes)))).boxed();
                let target = UploadTarget {
                    store: &*network.parts,
                    patience: &self.patience,
                    path: &path,
                    bucket,
                    key,
                };
                parts::upload(&target, pieces).await
            }
            (Some(_), PutMode::Overwrite) => {
                let put = |_| async {
                    let put = self.put_once(&path, &bytes, StoreMode::Overwrite).await;
                    put.map_err(|error| translate(error, "store", bucket, key))
                };
                self.patience.run(put).await
            }
            (None, mode) => {
                let mode = match mode {
                    PutMode::Overwrite => StoreMode::Overwrite,
                    PutMode::IfAbsent => StoreMode::Create,
                };
                let mut races = 0;
                loop {
                    if let Some(files) = &self.files {
                        files.make_bucket(bucket);
                    }
                    match self.put_once(&path, &bytes, mode.clone()).await {
                        Err(error)
                            if self.files.is_some() && races < FOLDER_RACES && is_folder_race(&error) =>
                        {
                            races += 1
                        }
                        put => return put.map_err(|error| translate(error, "store", bucket, key)),
                    }
                }
            }
        }
    }

    async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        mut pieces: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let path = self.path(bucket, key)?;
        if let Some(network) = &self.network {
            let mut first = Vec::new();
            let mut len = 0;
            while len <= PART {
                let Some(piece) = pieces.try_next().await? else {
                    // The object fits into one request.
                    let whole: Vec<u8> = first.concat();
                    return self.put(bucket, key, whole.into(), PutMode::Overwrite).await;
                };
                len += piece.len();
                first.push(piece.into_inner());
            }
            let first = stream::iter(first.into_iter().map(|piece| Ok(Bytes::from(piece))));
            let pieces = first.chain(pieces).boxed();
            let target =
                UploadTarget { store: &*network.parts, patience: &self.patience, path: &path, bucket, key };
            return parts::upload(&target, pieces).await;
        }
        let fault = |error| translate(error, "store", bucket, key);
        let mut upload = self.store.put_multipart(&path).await.map_err(fault)?;
        let written = async {
            while let Some(piece) = pieces.try_next().await? {
                upload.put_part(piece.into_inner().into()).await.map_err(fault)?;
            }
            upload.complete().await.map(drop).map_err(fault)
        };
        let written = written.await;
        if written.is_err() {
            // An error of the abort is ignored, because the first error is the one to report.
            drop(upload.abort().await);
        }
        written
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        let path = self.path(bucket, key)?;
        self.patience.run(|_| self.read_once(bucket, key, &path, None)).await
    }

    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        let path = self.path(bucket, key)?;
        if let Some(files) = &self.files {
            files.check_is_file(bucket, key)?;
        }
        self.patience.run(|_| self.read_once(bucket, key, &path, Some(limit))).await
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.path(bucket, key)?;
        let outside = |size| out_of_bounds(bucket, key, &range, size);
        // Stores refuse empty ranges, and some errors do not give the size when the range is beyond it.
        if range.start >= range.end {
            let size = self.head(bucket, key).await?.size;
            return if range.start == range.end && range.end <= size {
                Ok(Bytes::default())
            } else {
                Err(outside(size))
            };
        }
        let (path, range) = (&path, &range);
        let read = |_| async move {
            let options =
                GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
            let fault = |error| translate_read(error, "read", bucket, key);
            let result = match self.store.get_opts(path, options).await {
                Ok(result) => result,
                Err(error) if faults::is_passing(&error) => return Err(fault(error)),
                Err(error) => {
                    // `head` is not used, because it would wait for a second permit while this
                    // request holds one.
                    let size = self.head_once(bucket, key, path).await?.size;
                    return Err(if range.end <= size { fault(error) } else { outside(size) });
                }
            };
            if result.range != *range {
                return Err(outside(result.meta.size));
            }
            let bytes = result.bytes().await.map_err(fault)?;
            let (wanted, came) = (range.end - range.start, bytes.len() as u64);
            if came == wanted { Ok(Bytes::from(bytes)) } else { Err(wrong_length(bucket, key, wanted, came)) }
        };
        self.patience.run(read).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        let path = self.path(bucket, key)?;
        self.patience.run(|_| self.head_once(bucket, key, &path)).await
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, bucket, prefix) = (self.clone(), bucket.to_owned(), prefix.to_owned());
        let sorted = async move {
            let listed = this.patience.run(|_| this.list_once(&bucket, &prefix)).await;
            match listed {
                Ok(objects) => stream::iter(objects.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(sorted).flatten().boxed()
    }

    fn survey(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        match &self.files {
            Some(files) => files.survey(bucket, prefix),
            None => self.list(bucket, prefix),
        }
    }

    async fn remove_folder(&self, bucket: &str, prefix: &str) -> Result<()> {
        if let Some(files) = &self.files {
            return files.remove_folder(bucket, prefix).await;
        }
        let keys = self.list(bucket, prefix).map_ok(|object| object.key).try_collect().await?;
        self.delete_many(bucket, keys).await
    }

    fn is_unfinished(&self, name: &str) -> bool {
        self.files.is_some() && files::check_file_name(name).is_err()
    }

    async fn remove_unfinished(&self, bucket: &str, name: &str) -> Result<bool> {
        match &self.files {
            Some(files) => files.remove_unfinished(bucket, name).await,
            None => Ok(false),
        }
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let path = self.path(bucket, key)?;
        if let Some(files) = &self.files {
            return files.delete(bucket, vec![key.to_owned()]).await;
        }
        let delete =
            |_| async { self.store.delete(&path).await.or_else(|error| forgive_absence(error, bucket, key)) };
        self.patience.run(delete).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        let paths = keys.iter().map(|key| self.path(bucket, key)).collect::<Result<Vec<_>>>()?;
        if let Some(files) = &self.files {
            return files.delete(bucket, keys).await;
        }
        let (paths, keys) = (&paths, &keys);
        let delete = |_| async move {
            let mut deleted =
                self.store.delete_stream(stream::iter(paths.clone().into_iter().map(Ok)).boxed());
            while let Some(outcome) = deleted.next().await {
                outcome.map(drop).or_else(|error| {
                    let (first, last) = (keys.first(), keys.last());
                    let key =
                        if first == last { first.map_or("", String::as_str) } else { "(one of several)" };
                    forgive_absence(error, bucket, key)
                })?;
            }
            Ok(())
        };
        self.patience.run(delete).await
    }
}

fn describe(key: String, meta: object_store::ObjectMeta) -> ObjectMeta {
    ObjectMeta { key, size: meta.size, modified: meta.last_modified.into(), etag: meta.e_tag }
}

/// Translates the errors of operations that need the object to exist. Where a folder has the key,
/// or an object has a segment of it, the object does not exist.
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

/// The result of a removal: an object that does not exist is no error.
fn forgive_absence(error: object_store::Error, bucket: &str, key: &str) -> Result<()> {
    match translate_read(error, "delete", bucket, key) {
        error if error.kind() == ErrorKind::NotFound => Ok(()),
        error => Err(error),
    }
}

/// Whether another process has removed the folder between its creation and the put.
fn is_folder_race(error: &object_store::Error) -> bool {
    io_error(error).is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
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
