//! [`ObjectStorage`]: implements [`Storage`] with one bucket of a store of the crate `object_store`.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode as StoreMode, PutOptions,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::MultipartStore,
    path::Path,
};

use super::{
    faults::{self, io_error, translate},
    parts::{self, PART, UploadTarget},
    paths,
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    storage::{
        ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo, StorageRetryPolicy,
        contract::{out_of_bounds, too_large, wrong_length},
        names,
    },
};

/// One bucket of a storage behind a network. Paths are keys, without the bucket.
#[derive(Clone)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    /// Uploads objects in parts that are too large for one request.
    parts: Arc<dyn MultipartStore>,
    /// Lists any prefix, page by page.
    pages: Arc<dyn PaginatedListStore>,
    info: StorageInfo,
    capabilities: StorageCapabilities,
    patience: StorageRetryPolicy,
}

impl ObjectStorage {
    /// The bucket that a store reaches. The store's own retries must be off, because `patience` repeats
    /// requests. The store always reaches this bucket, so that the caller must choose the store by the name
    /// of the bucket.
    pub fn bucket<S: ObjectStore + MultipartStore + PaginatedListStore>(
        store: Arc<S>,
        info: StorageInfo,
        capabilities: StorageCapabilities,
        patience: StorageRetryPolicy,
    ) -> Self {
        let (parts, pages) = (Arc::<S>::clone(&store), Arc::<S>::clone(&store));
        Self { store, parts, pages, info, capabilities, patience }
    }

    /// Where the parts of an upload go.
    fn target<'a>(&'a self, path: &'a Path, bucket: &'a str, key: &'a str) -> UploadTarget<'a> {
        UploadTarget { store: &*self.parts, patience: &self.patience, path, bucket, key }
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

    /// Reads a whole object, if it has at most `limit` bytes. A range is asked for, so that the answer has the
    /// length of the object even if a proxy has cut or changed the content.
    async fn read_once(&self, bucket: &str, key: &str, path: &Path, limit: Option<u64>) -> Result<Bytes> {
        let fault = |error| translate_read(error, "read", bucket, key);
        let from_start = GetOptions { range: Some(GetRange::Offset(0)), ..GetOptions::default() };
        let result = match self.store.get_opts(path, from_start).await {
            // The object is empty, or the store does not support ranges.
            Err(error) if faults::is_about_range(&error) => {
                self.store.get_opts(path, GetOptions::default()).await
            }
            result => result,
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

    /// The entries of a listing, page by page.
    fn listing(&self, prefix: &str) -> BoxStream<'_, object_store::Result<object_store::ObjectMeta>> {
        let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
        let pages = stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
            let (store, prefix) = (Arc::clone(&self.pages), prefix.clone());
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
        pages.try_flatten().boxed()
    }

    async fn head_once(&self, bucket: &str, key: &str, path: &Path) -> Result<ObjectMeta> {
        let meta = self.store.head(path).await;
        let meta = meta.map_err(|error| translate_read(error, "look at", bucket, key))?;
        Ok(describe(key.to_owned(), meta))
    }

    async fn list_once(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
        names::check_bucket(bucket)?;
        let mut listing = self.listing(prefix);
        let mut objects = Vec::new();
        while let Some(object) = listing.next().await {
            let meta = object.map_err(|error| translate_read(error, "list", bucket, prefix))?;
            let key = paths::key(&meta.location);
            objects.extend(key.starts_with(prefix).then(|| describe(key, meta)));
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
        let path = paths::path(bucket, key)?;
        let bytes = bytes.into_inner();
        match mode {
            PutMode::IfAbsent => self.put_if_absent(bucket, key, &path, &bytes).await,
            PutMode::Overwrite if bytes.len() > PART => {
                let pieces = stream::once(future::ready(Ok(Bytes::from(bytes)))).boxed();
                parts::upload(&self.target(&path, bucket, key), pieces).await
            }
            PutMode::Overwrite => {
                let put = |_| async {
                    let put = self.put_once(&path, &bytes, StoreMode::Overwrite).await;
                    put.map_err(|error| translate(error, "store", bucket, key))
                };
                self.patience.run(put).await
            }
        }
    }

    async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        mut pieces: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let path = paths::path(bucket, key)?;
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
        parts::upload(&self.target(&path, bucket, key), first.chain(pieces).boxed()).await
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        let path = paths::path(bucket, key)?;
        self.patience.run(|_| self.read_once(bucket, key, &path, None)).await
    }

    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        let path = paths::path(bucket, key)?;
        self.patience.run(|_| self.read_once(bucket, key, &path, Some(limit))).await
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        let path = paths::path(bucket, key)?;
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
        let path = paths::path(bucket, key)?;
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

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let path = paths::path(bucket, key)?;
        let delete =
            |_| async { self.store.delete(&path).await.or_else(|error| forgive_absence(error, bucket, key)) };
        self.patience.run(delete).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        let paths = keys.iter().map(|key| paths::path(bucket, key)).collect::<Result<Vec<_>>>()?;
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
