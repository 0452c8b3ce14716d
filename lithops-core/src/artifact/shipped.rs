//! [`Shipped`]: an artifact in the storage, by its digest.

use std::path::PathBuf;

use async_compression::{
    Level,
    tokio::{bufread::ZstdDecoder, write::ZstdEncoder},
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::StreamReader;

use super::Artifact;
use crate::{
    digest::Digest,
    error::{Error, ErrorKind, Result, Retry},
    journal::insist,
    storage::{PutMode, StorageClient},
};

/// Under which artifacts lie in the bucket of jobs.
pub const PREFIX: &str = "lithops.programs/";

/// An artifact that is in the storage: this is what travels in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shipped {
    /// Of the bytes that are to be executed.
    pub digest: Digest,
    /// How many these are.
    pub len: u64,
    key: String,
}

impl Shipped {
    /// The place of an artifact, below the storage's own prefix.
    #[must_use]
    pub fn of(artifact: &Artifact, prefix: Option<&str>) -> Self {
        let name = format!("{PREFIX}{}.zst", artifact.digest);
        let prefix = prefix.map(|prefix| prefix.trim_end_matches('/')).filter(|prefix| !prefix.is_empty());
        let key = prefix.map_or_else(|| name.clone(), |prefix| format!("{prefix}/{name}"));
        Self { digest: artifact.digest, len: artifact.bytes.len() as u64, key }
    }

    /// Its key in the bucket.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Stores the artifact, unless it is there: nothing else has its name.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn put(&self, artifact: &Artifact, storage: &StorageClient) -> Result<()> {
        let (store, bucket) = (storage.storage(), storage.bucket());
        match insist(|| store.head(bucket, &self.key)).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        tracing::info!(bytes = self.len, key = self.key, "the program is stored for its workers");
        let mut encoder = ZstdEncoder::with_quality(Vec::new(), Level::Precise(6));
        encoder.write_all(&artifact.bytes).await?;
        encoder.shutdown().await?;
        let compressed = crate::bytes::Bytes::from(encoder.into_inner());
        insist(|| store.put(bucket, &self.key, compressed.clone(), PutMode::Overwrite)).await
    }

    /// Fetches it into a file that nothing but the answer names: the file can be executed, and is gone when the handle
    /// is. Its bytes are those of the digest.
    ///
    /// # Errors
    /// When it cannot be read or kept, or is not what was stored.
    pub async fn fetch(&self, storage: &StorageClient, folder: PathBuf) -> Result<std::fs::File> {
        let bucket = storage.bucket();
        let (_, pieces) = insist(|| storage.get_stream(bucket, &self.key)).await?;
        let pieces = pieces.map_ok(crate::bytes::Bytes::into_inner).map_err(std::io::Error::other);
        // No more than was promised is ever unpacked.
        let mut unpacked = ZstdDecoder::new(StreamReader::new(pieces)).take(self.len + 1);
        let cannot_keep = |error| cannot_keep(&self.key, &error);
        let mut writing = Unnamed::create(folder).map_err(cannot_keep)?;
        let mut hashing = crate::digest::Hashing::default();
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = unpacked.read(&mut piece).await.map_err(|error| {
                Error::new(ErrorKind::Io, format!("cannot unpack the program `{}`: {error}", self.key))
                    .with_retry(Retry::Later)
                    .with_source(error)
            })?;
            if read == 0 {
                break;
            }
            hashing.update(&piece[..read]);
            std::io::Write::write_all(&mut writing.file, &piece[..read]).map_err(cannot_keep)?;
        }
        self.digest.is(hashing.finish(), &self.key)?;
        writing.executable().map_err(cannot_keep)
    }
}

/// The disk of one machine says nothing of the next one's.
fn cannot_keep(key: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot keep the program `{key}` on the worker's disk: {error}"))
        .with_hint("a worker's disk must hold its programs: on AWS Lambda that is `ephemeral_storage`")
        .with_retry(Retry::Later)
}

/// A file of a folder that only this user can look into; it has a name only while it is written.
struct Unnamed {
    file: std::fs::File,
    path: PathBuf,
}

impl Unnamed {
    fn create(folder: PathBuf) -> std::io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(crate::id::JobId::generate().to_string());
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
        Ok(Self { file, path })
    }

    /// Nobody can write to it any more, and nobody finds it by name.
    fn executable(self) -> std::io::Result<std::fs::File> {
        std::fs::File::open(&self.path)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // What has no name is gone with its last handle; one that stays is in a folder of temporary files.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsRawFd, process::Command, sync::Arc};

    use super::*;
    use crate::storage::ObjectStorage;

    fn artifact(bytes: Vec<u8>) -> Artifact {
        Artifact { digest: Digest::of(&bytes), bytes: bytes.into() }
    }

    #[tokio::test]
    async fn what_was_shipped_is_executed_and_nothing_else() {
        let storage = StorageClient::new(Arc::new(ObjectStorage::memory()), "own");
        let folder = tempfile::tempdir().expect("a folder");
        let program = artifact(std::fs::read("/bin/echo").expect("a program"));
        let shipped = Shipped::of(&program, Some("team/"));
        assert!(shipped.key().starts_with("team/lithops.programs/"));
        shipped.put(&program, &storage).await.expect("stored");
        shipped.put(&program, &storage).await.expect("it is there");
        let file = shipped.fetch(&storage, folder.path().join("cache")).await.expect("fetched");
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let said = Command::new(path).arg("hello").output().expect("it runs");
        assert_eq!(said.stdout, b"hello\n");
        assert_eq!(std::fs::read_dir(folder.path().join("cache")).expect("a folder").count(), 0, "no name");

        // A disk that cannot hold it is the fault of this machine alone.
        let no_folder = folder.path().join("file");
        std::fs::write(&no_folder, "").expect("written");
        let error = shipped.fetch(&storage, no_folder).await.expect_err("it cannot be kept");
        assert!(error.to_string().contains("cannot keep the program"), "{error}");
        assert_eq!(error.retry(), Retry::Later);

        // Somebody else has written there.
        let other = artifact(std::fs::read("/bin/true").expect("a program"));
        let wrong = Shipped { key: shipped.key.clone(), ..Shipped::of(&other, None) };
        storage.delete_object("own", &shipped.key).await.expect("deleted");
        wrong.put(&other, &storage).await.expect("stored");
        let error = shipped.fetch(&storage, folder.path().join("cache")).await.expect_err("it is another");
        assert!(error.to_string().contains("is not what was stored"), "{error}");
        let bomb = Shipped { len: 10, ..wrong };
        assert!(bomb.fetch(&storage, folder.path().join("cache")).await.is_err(), "longer than was said");
        assert_eq!(std::fs::read_dir(folder.path().join("cache")).expect("a folder").count(), 0);
    }
}
