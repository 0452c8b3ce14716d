//! [`Files`]: what files have and objects do not: folders, links, and files that are still being written.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::tree;
use crate::{
    error::{Error, ErrorKind, Result},
    storage::{ObjectMeta, faults::of_file, names},
};

/// The scheme of the storage.
pub(in crate::storage) const SCHEME: &str = "localhost";

/// The bucket when none is configured, as in Python Lithops.
pub(in crate::storage) const DEFAULT_BUCKET: &str = "storage";

/// The files of a storage.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Files {
    root: Arc<Path>,
}

impl Files {
    pub(in crate::storage) fn below(root: &Path) -> Self {
        Self { root: root.into() }
    }

    pub(in crate::storage) fn root(&self) -> Arc<Path> {
        Arc::clone(&self.root)
    }

    /// Creates the folder of a bucket for this user alone, unless other users may write to the root.
    pub(in crate::storage) fn make_bucket(&self, bucket: &str) {
        let folder = self.root.join(bucket);
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        let shared = || fs::metadata(&self.root).is_ok_and(|root| root.mode() & 0o022 != 0);
        if made.is_ok() && shared() {
            // If this fails, the folder stays accessible to this user alone.
            let _ =
                fs::metadata(&self.root).and_then(|root| fs::set_permissions(&folder, root.permissions()));
        }
        // Other errors are reported by the put that follows.
    }

    /// Refuses an entry that is not a file, such as a pipe, because reading it might never end.
    pub(in crate::storage) fn check_is_file(&self, bucket: &str, key: &str) -> Result<()> {
        let message = match fs::metadata(self.root.join(bucket).join(key)) {
            Ok(found) if found.is_file() => return Ok(()),
            Ok(found) if found.is_dir() => "there is a folder in the place of",
            Ok(_) => "there is something else than a file in the place of",
            // The read that follows reports the error.
            Err(_) => return Ok(()),
        };
        let message = format!("{message} object `{key}` in bucket `{bucket}`");
        Err(Error::new(ErrorKind::Damaged, message)
            .with_hint("another program has written there")
            .with_context("operation", "read")
            .with_context("bucket", bucket)
            .with_context("key", key))
    }

    /// Removes as many of the objects as possible. Returns the first error.
    pub(in crate::storage) async fn delete(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        let (root, bucket) = (Arc::clone(&self.root), bucket.to_owned());
        off_the_runtime(move || {
            let removed = keys.into_iter().map(|key| {
                let removed = tree::remove_file(&root, &Path::new(&bucket).join(&key));
                removed.map(drop).map_err(|error| of_file(error, "delete", &bucket, &key))
            });
            removed.fold(Ok(()), Result::and)
        })
        .await
    }

    /// Removes a folder with everything in it.
    pub(in crate::storage) async fn remove_folder(&self, bucket: &str, folder: &str) -> Result<()> {
        let (root, bucket, folder) = (Arc::clone(&self.root), bucket.to_owned(), folder.to_owned());
        names::check_bucket(&bucket)?;
        off_the_runtime(move || {
            let path = Path::new(&bucket).join(folder.trim_end_matches('/'));
            tree::remove_folder(&root, &path).map_err(|error| of_file(error, "delete", &bucket, &folder))
        })
        .await
    }

    /// Lists the files below a folder; entries that cannot be read are errors in the stream.
    pub(in crate::storage) fn survey(
        &self,
        bucket: &str,
        folder: &str,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (root, bucket, folder) = (Arc::clone(&self.root), bucket.to_owned(), folder.to_owned());
        let surveyed = off_the_runtime(move || {
            names::check_bucket(&bucket)?;
            let (found, unreadable) = tree::survey(&root, &Path::new(&bucket).join(&folder));
            let key = |path: &Path| path.strip_prefix(&bucket).unwrap_or(path).to_string_lossy().into_owned();
            let found = found.into_iter().map(|(path, metadata)| {
                let modified =
                    metadata.modified().map_err(|error| of_file(error, "look at", &bucket, &key(&path)))?;
                let etag = Some(format!("{:x}-{:x}", metadata.ino(), metadata.ctime_nsec()));
                Ok(ObjectMeta { key: key(&path), size: metadata.len(), modified, etag })
            });
            let unreadable = unreadable
                .iter()
                .map(|(path, error)| Err(of_file(copy_of(error), "look at", &bucket, &key(path))));
            let mut all: Vec<Result<ObjectMeta>> = found.chain(unreadable).collect();
            all.sort_by(|left, right| match (left, right) {
                (Ok(left), Ok(right)) => left.key.cmp(&right.key),
                (left, right) => left.is_err().cmp(&right.is_err()),
            });
            Ok(all)
        });
        stream::once(surveyed)
            .flat_map(|surveyed| stream::iter(surveyed.unwrap_or_else(|error| vec![Err(error)])))
            .boxed()
    }

    /// Removes what an interrupted put has left, unless a process still has the file open.
    pub(in crate::storage) async fn remove_unfinished(&self, bucket: &str, name: &str) -> Result<bool> {
        if check_file_name(name).is_ok() {
            return Ok(false);
        }
        let (root, bucket, name) = (Arc::clone(&self.root), bucket.to_owned(), name.to_owned());
        off_the_runtime(move || {
            let path = Path::new(&bucket).join(&name);
            let failed = |error| of_file(error, "delete", &bucket, &name);
            match fs::symlink_metadata(root.join(&path)) {
                Ok(found) if is_open(&found) => Ok(false),
                Ok(_) => tree::remove_file(&root, &path).map_err(failed),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }
}

/// Whether a process has the file open, among those of this machine that this user may inspect.
fn is_open(file: &fs::Metadata) -> bool {
    let same = |open: fs::Metadata| (open.dev(), open.ino()) == (file.dev(), file.ino());
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes
        .flatten()
        .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
        .any(|opened| opened.flatten().any(|descriptor| fs::metadata(descriptor.path()).is_ok_and(same)))
}

/// A copy of an error, which has no `Clone`.
fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Runs file operations on a thread that may block, because they would delay other tasks; where there is no
/// runtime, on this one.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work() };
    let done = runtime.spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Unexpected, format!("files were left alone: {error}")))
    })
}

/// Refuses a key that cannot be a file name here: `name#1` is the name of a file that is being written.
pub(in crate::storage) fn check_file_name(key: &str) -> Result<()> {
    if is_staged(key) {
        let message = format!(
            "the key `{key}` ends in `#` and digits, which marks unfinished files in storage `localhost`"
        );
        return Err(Error::new(ErrorKind::InvalidInput, message).with_hint("choose another name"));
    }
    Ok(())
}

/// Whether this is the name of a file that is being written.
pub(in crate::storage) fn is_staged(key: &str) -> bool {
    let name = Path::new(key).file_name().and_then(|name| name.to_str()).unwrap_or(key);
    name.split_once('#')
        .is_some_and(|(_, suffix)| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}
