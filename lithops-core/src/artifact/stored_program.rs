//! [`StoredProgram`]: a reference to an artifact in the storage, by its digest.

use std::{
    fs::Metadata,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use async_compression::{
    Level,
    tokio::{bufread::ZstdDecoder, write::ZstdEncoder},
};
use futures_util::TryStreamExt;
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, memfd_create},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::io::StreamReader;

use super::Artifact;
use crate::{
    digest::Digest,
    error::{Error, ErrorKind, Result, Retry},
    storage::{
        PutMode, StorageClient, insist,
        own_keys::{PROGRAMS, program_of},
        was_given_up,
    },
};

/// A reference to an artifact in the storage. It is sent to workers instead of the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredProgram {
    /// The digest of the bytes that are executed.
    pub digest: Digest,
    /// The number of these bytes, before compression.
    pub len: u64,
    key: String,
}

impl StoredProgram {
    /// The reference that an artifact has once it is stored.
    #[must_use]
    pub fn of(artifact: &Artifact) -> Self {
        Self::new(artifact.digest, artifact.bytes.len() as u64)
    }

    /// The reference to a program of this digest and length.
    #[must_use]
    pub fn new(digest: Digest, len: u64) -> Self {
        Self { digest, len, key: format!("{PROGRAMS}{digest}.zst") }
    }

    /// The key of the compressed program in the bucket.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Notes in the storage that the program is used now, by the storage's own clock. `lithops
    /// clean` removes programs that no job has used for a long time.
    ///
    /// # Errors
    /// When the storage refuses the note.
    pub async fn note_use(&self, storage: &StorageClient) -> Result<()> {
        let (store, bucket) = (storage.storage(), storage.bucket());
        let key = self.key_of_use();
        insist(|| store.put(bucket, &key, "used".into(), PutMode::Overwrite)).await
    }

    /// The key of the note. The modification time of this object is the time of the last use.
    fn key_of_use(&self) -> String {
        format!("{}.used", program_of(&self.key))
    }

    /// Stores the artifact, unless its key exists: the key contains the digest. Notes that the
    /// program is used.
    ///
    /// # Errors
    /// When the storage refuses the artifact.
    pub async fn put(&self, artifact: &Artifact, storage: &StorageClient) -> Result<()> {
        let (store, bucket) = (storage.storage(), storage.bucket());
        // The use is noted before the program is looked up, because an unused program may be about
        // to be removed.
        match self.note_use(storage).await {
            Err(error) if was_given_up(&error) => return Err(error),
            // The note is not essential: if the program is removed, a client stores it again.
            Err(error) => tracing::debug!(key = self.key, %error, "cannot note that the program is used"),
            Ok(()) => {}
        }
        match insist(|| store.head(bucket, &self.key)).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.put_again(artifact, storage).await
    }

    /// Stores the artifact, and overwrites an existing object.
    ///
    /// # Errors
    /// When the storage refuses the artifact.
    pub async fn put_again(&self, artifact: &Artifact, storage: &StorageClient) -> Result<()> {
        let (store, bucket) = (storage.storage(), storage.bucket());
        tracing::info!(bytes = self.len, key = self.key, "the program is stored for its workers");
        let mut encoder = ZstdEncoder::with_quality(Vec::new(), Level::Precise(6));
        encoder.write_all(&artifact.bytes).await?;
        encoder.shutdown().await?;
        let compressed = crate::bytes::Bytes::from(encoder.into_inner());
        insist(|| store.put(bucket, &self.key, compressed.clone(), PutMode::Overwrite)).await
    }

    /// Fetches the program into a file without a name: on the disk of `folder` where that is
    /// possible, and in memory otherwise. The file can be executed and disappears with its handle.
    /// The digest of its bytes has been checked.
    ///
    /// # Errors
    /// When it cannot be read, or not be written to the worker's disk, or differs from what was
    /// stored. [`is_damaged`](Self::is_damaged) tells the last case.
    pub async fn fetch(&self, storage: &StorageClient, folder: &Path) -> Result<std::fs::File> {
        let bucket = storage.bucket();
        let (_, pieces) = insist(|| storage.get_stream(bucket, &self.key))
            .await
            .map_err(|error| if error.kind() == ErrorKind::NotFound { damaged(error) } else { error })?;
        let pieces = pieces.map_ok(crate::bytes::Bytes::into_inner).map_err(std::io::Error::other);
        // At most one byte more than the expected length is unpacked, so that a wrong object cannot
        // fill the disk.
        let mut unpacked = ZstdDecoder::new(StreamReader::new(pieces)).take(self.len + 1);
        let cannot_keep = |error| cannot_keep(&self.key, &error);
        let mut writing = Unnamed::create(folder).map_err(cannot_keep)?;
        let mut hashing = crate::digest::Hashing::default();
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = unpacked.read(&mut piece).await.map_err(|error| {
                // An error of the storage proves nothing about the object, while bytes that cannot
                // be unpacked prove damage.
                let of_storage = error.get_ref().is_some_and(|inner| inner.is::<Error>());
                let words = format!("cannot unpack the program `{}`: {error}", self.key);
                let error = Error::new(ErrorKind::Io, words).with_retry(Retry::Later).with_source(error);
                if of_storage { error } else { damaged(error) }
            })?;
            if read == 0 {
                break;
            }
            hashing.update(&piece[..read]);
            std::io::Write::write_all(&mut writing.file, &piece[..read]).map_err(cannot_keep)?;
        }
        self.digest.is(hashing.finish(), &self.key).map_err(damaged)?;
        writing.executable().map_err(cannot_keep)
    }

    /// Whether an error says that the stored object is missing or differs from the program, so that
    /// a client must store it again.
    #[must_use]
    pub fn is_damaged(error: &Error) -> bool {
        error.context().any(|pair| pair == DAMAGED)
    }
}

/// The context of an error about an object that differs from what was stored.
const DAMAGED: (&str, &str) = ("program", "damaged");

/// Marks the error of an object that differs from what was stored, for [`StoredProgram::is_damaged`].
#[must_use]
pub fn damaged(error: Error) -> Error {
    error.with_context(DAMAGED.0, DAMAGED.1)
}

/// The error of a disk that cannot hold the program. A retry may help, because it may reach a
/// machine with another disk.
fn cannot_keep(key: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot keep the program `{key}` on the worker's disk: {error}"))
        .with_hint("a worker's disk must hold its programs: on AWS Lambda that is `ephemeral_storage`")
        .with_retry(Retry::Later)
}

/// A file without a name. Other users cannot open it, even when its folder belongs to them.
struct Unnamed {
    file: std::fs::File,
    in_memory: bool,
}

impl Unnamed {
    /// Creates the file on the disk of a folder. The file is in memory where the file system of the
    /// folder cannot hold files without a name, or cannot execute files.
    fn create(folder: &Path) -> std::io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::RWXU) {
            Ok(file) if may_execute(&file) => return Ok(Self { file: file.into(), in_memory: false }),
            Err(
                Errno::OPNOTSUPP
                | Errno::ISDIR
                | Errno::INVAL
                | Errno::NOSYS
                | Errno::ROFS
                | Errno::ACCESS
                | Errno::NOENT,
            )
            | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let file = memfd_create("lithops-program", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        Ok(Self { file: file.into(), in_memory: true })
    }

    /// Reopens the same file read-only, after which it cannot be written to any more.
    fn executable(self) -> std::io::Result<std::fs::File> {
        if self.in_memory {
            let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
            fcntl_add_seals(&self.file, seals)?;
        }
        // A file that is open for writing cannot be executed. This link leads to the open file
        // itself, not to a file of its name.
        let file = std::fs::File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))?;
        let is_same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino(), a.len()) == (b.dev(), b.ino(), b.len());
        match is_same(&file.metadata()?, &self.file.metadata()?) {
            true => Ok(file),
            false => Err(std::io::Error::other("/proc does not lead to the open files of this process")),
        }
    }
}

/// Whether files of this file system can be executed.
fn may_execute(file: &OwnedFd) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|system| !system.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
#[path = "stored_program_tests.rs"]
mod tests;
