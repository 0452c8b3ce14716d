//! [`FileStorage`]: the files below a folder as objects.
//!
//! An object is written to a file beside its place, `name#` and digits, and then moved there, so that readers
//! see the whole object or none of it. What an interrupted put leaves has such a name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{
    files::{self, Files, off_the_runtime},
    folder, listing,
};
use crate::{
    bytes::Bytes,
    error::{Error, Result},
    storage::{
        ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo,
        contract::{exists_already, out_of_bounds, too_large, wrong_length},
        faults::of_file,
        names,
    },
};

/// How often a put begins anew because another process has removed its folder, which had become empty.
const FOLDER_RACES: u32 = 20;
/// The number of an unfinished file has at most 14 digits: a name of 240 bytes stays a valid one.
const UNFINISHED: u64 = 100_000_000_000_000;

/// The files below a folder.
#[derive(Debug, Clone)]
pub struct FileStorage {
    files: Files,
}

impl FileStorage {
    /// The files below `root`. The folder is created for this user alone if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be created, or `root` is not a folder.
    pub fn new(root: &Path) -> Result<Self> {
        folder::create(root)?;
        Ok(Self { files: Files::below(root) })
    }

    /// Runs an operation on the file of an object, on a thread that may block.
    async fn with_file<T: Send + 'static>(
        &self,
        bucket: &str,
        key: &str,
        work: impl FnOnce(&Place) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        names::check_bucket(bucket)?;
        names::check_key(key)?;
        files::check_file_name(key)?;
        let path = self.files.root().join(bucket).join(key);
        let place = Place { files: self.files.clone(), bucket: bucket.to_owned(), key: key.to_owned(), path };
        off_the_runtime(move || work(&place)).await
    }
}

/// Where an object is, or will be.
struct Place {
    files: Files,
    bucket: String,
    key: String,
    path: PathBuf,
}

impl Place {
    fn failed(&self, error: io::Error, doing: &'static str) -> Error {
        of_file(error, doing, &self.bucket, &self.key)
    }

    /// The error of an operation that needs the object to exist. Where a folder has the key, or an object has a
    /// segment of it, the object does not exist.
    fn failed_to_read(&self, error: io::Error, doing: &'static str) -> Error {
        let absent = matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory);
        self.failed(if absent { io::ErrorKind::NotFound.into() } else { error }, doing)
    }

    /// Opens the file to read it. An entry that is not a file is refused before it is read, because reading it
    /// might never end; opening one does not wait either.
    fn open(&self) -> Result<(File, fs::Metadata)> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&self.path).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        match opened {
            Ok((_, metadata)) if metadata.is_dir() => {
                Err(self.failed(io::ErrorKind::NotFound.into(), "read"))
            }
            Ok((_, metadata)) if !metadata.is_file() => {
                self.files.check_is_file(&self.bucket, &self.key)?;
                Err(self.failed(io::ErrorKind::NotFound.into(), "read"))
            }
            Ok(opened) => Ok(opened),
            Err(error) => {
                // A socket cannot even be opened.
                if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
                    self.files.check_is_file(&self.bucket, &self.key)?;
                }
                Err(self.failed_to_read(error, "read"))
            }
        }
    }

    /// Reads the whole object, if it has at most `limit` bytes.
    fn read(&self, limit: Option<u64>) -> Result<Bytes> {
        let (file, metadata) = self.open()?;
        let size = metadata.len();
        if let Some(limit) = limit.filter(|limit| size > *limit) {
            return Err(too_large(&self.bucket, &self.key, size, limit));
        }
        let mut bytes = Vec::new();
        let room = usize::try_from(size).ok().and_then(|size| bytes.try_reserve_exact(size).ok());
        room.ok_or_else(|| self.failed(io::ErrorKind::OutOfMemory.into(), "read"))?;
        let read = file.take(size).read_to_end(&mut bytes);
        read.map_err(|error| self.failed_to_read(error, "read"))?;
        if bytes.len() as u64 != size {
            return Err(wrong_length(&self.bucket, &self.key, size, bytes.len() as u64));
        }
        Ok(bytes.into())
    }

    fn read_range(&self, range: &Range<u64>) -> Result<Bytes> {
        let (file, metadata) = self.open()?;
        if range.start > range.end || range.end > metadata.len() {
            return Err(out_of_bounds(&self.bucket, &self.key, range, metadata.len()));
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, range.start).map_err(|error| self.failed_to_read(error, "read"))?;
        Ok(bytes.into())
    }

    fn describe(&self) -> Result<ObjectMeta> {
        let metadata = fs::metadata(&self.path).map_err(|error| self.failed_to_read(error, "look at"))?;
        if metadata.is_dir() {
            return Err(self.failed(io::ErrorKind::NotFound.into(), "look at"));
        }
        if !metadata.is_file() {
            self.files.check_is_file(&self.bucket, &self.key)?;
        }
        Ok(listing::describe(&self.key, &metadata))
    }

    fn put(&self, bytes: &[u8], mode: PutMode) -> Result<()> {
        let mut races = 0;
        loop {
            let put = self.unfinished().and_then(|(mut file, unfinished)| {
                file.write_all(bytes)?;
                unfinished.finish(mode)
            });
            match put {
                // The folder was removed between its creation and the end of the put.
                Err(error) if error.kind() == io::ErrorKind::NotFound && races < FOLDER_RACES => races += 1,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && mode == PutMode::IfAbsent => {
                    return Err(exists_already(&self.bucket, &self.key).with_source(error));
                }
                put => return put.map_err(|error| self.failed(error, "store")),
            }
        }
    }

    /// A new file beside the object, in a folder that is created if it does not exist.
    fn unfinished(&self) -> io::Result<(File, Unfinished)> {
        let mut made = false;
        loop {
            let number = crate::id::new_uuid().as_u64_pair().1 % UNFINISHED;
            let mut name = self.path.clone().into_os_string();
            name.push(format!("#{number}"));
            match File::create_new(&name) {
                Ok(file) => {
                    return Ok((file, Unfinished { at: name.into(), object: self.path.clone() }));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && !made => {
                    made = true;
                    self.files.make_bucket(&self.bucket);
                    fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The file of an object that is being written. It is removed unless it is finished.
struct Unfinished {
    at: PathBuf,
    object: PathBuf,
}

impl Unfinished {
    fn finish(self, mode: PutMode) -> io::Result<()> {
        match mode {
            PutMode::Overwrite => {
                fs::rename(&self.at, &self.object)?;
                // Nothing is left to remove, and the name may be another put's by now.
                std::mem::forget(self);
                Ok(())
            }
            // Of several links at once one is made.
            PutMode::IfAbsent => fs::hard_link(&self.at, &self.object),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // An error is that of a folder that was removed meanwhile, with the file.
        let _ = fs::remove_file(&self.at);
    }
}

#[async_trait]
impl Storage for FileStorage {
    fn info(&self) -> StorageInfo {
        StorageInfo { scheme: files::SCHEME, location: self.files.root().display().to_string() }
    }

    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities { shared_between_processes: true }
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        self.with_file(bucket, key, move |place| place.put(&bytes, mode)).await
    }

    async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        mut pieces: BoxStream<'static, Result<Bytes>>,
    ) -> Result<()> {
        let begun = |place: &Place| place.unfinished().map_err(|error| place.failed(error, "store"));
        let (file, unfinished) = self.with_file(bucket, key, begun).await?;
        let file = Arc::new(file);
        while let Some(piece) = pieces.try_next().await? {
            let file = Arc::clone(&file);
            let write =
                move |place: &Place| (&*file).write_all(&piece).map_err(|error| place.failed(error, "store"));
            self.with_file(bucket, key, write).await?;
        }
        let finish = move |place: &Place| {
            unfinished.finish(PutMode::Overwrite).map_err(|error| place.failed(error, "store"))
        };
        self.with_file(bucket, key, finish).await
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.with_file(bucket, key, |place| place.read(None)).await
    }

    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        let read = move |place: &Place| {
            place.files.check_is_file(&place.bucket, &place.key)?;
            place.read(Some(limit))
        };
        self.with_file(bucket, key, read).await
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.with_file(bucket, key, move |place| place.read_range(&range)).await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        self.with_file(bucket, key, Place::describe).await
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let (root, bucket, prefix) = (self.files.root(), bucket.to_owned(), prefix.to_owned());
        let sorted = off_the_runtime(move || {
            let mut objects = listing::list(&root, &bucket, &prefix)?;
            objects.sort_unstable_by(|left, right| left.key.cmp(&right.key));
            Ok(objects)
        });
        stream::once(sorted).map_ok(|objects| stream::iter(objects).map(Ok)).try_flatten().boxed()
    }

    fn survey(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.survey(bucket, prefix)
    }

    async fn remove_folder(&self, bucket: &str, prefix: &str) -> Result<()> {
        self.files.remove_folder(bucket, prefix).await
    }

    fn is_unfinished(&self, name: &str) -> bool {
        files::is_staged(name)
    }

    async fn remove_unfinished(&self, bucket: &str, name: &str) -> Result<bool> {
        self.files.remove_unfinished(bucket, name).await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.delete_many(bucket, vec![key.to_owned()]).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        names::check_bucket(bucket)?;
        for key in &keys {
            names::check_key(key)?;
            files::check_file_name(key)?;
        }
        self.files.delete(bucket, keys).await
    }
}
