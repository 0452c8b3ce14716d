//! [`ObjectLocation`]: the place of an object, and how bytes are read from there.

use std::{
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::version::{KnownVersion, shown};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    memory::ALIGNED,
    storage::StorageClient,
};

/// The place of an object: in a storage, in a file, or at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ObjectLocation {
    Object {
        bucket: String,
        key: String,
    },
    Path(PathBuf),
    /// A URL, and whether its server answers requests for ranges.
    Url {
        url: String,
        ranges: bool,
    },
}

impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { bucket, key } => write!(f, "{bucket}/{key}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url { url, .. } => f.write_str(shown(url)),
        }
    }
}

impl ObjectLocation {
    /// The present size in bytes, and a mark that changes with the content: an ETag or a time.
    pub(super) async fn look(&self, storage: Option<&StorageClient>) -> Result<(u64, Option<String>)> {
        match self {
            Self::Object { bucket, key } => {
                let meta = in_storage(storage)?.head_object(bucket, key).await?;
                Ok((meta.size, meta.etag))
            }
            Self::Path(path) => {
                let meta = tokio::fs::metadata(path).await.map_err(|error| self.fault(error))?;
                let modified =
                    meta.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                Ok((meta.len(), modified.map(|time| time.as_nanos().to_string())))
            }
            #[cfg(feature = "http")]
            Self::Url { url, .. } => super::http::look(url).await.map(|found| (found.size, found.mark)),
            #[cfg(not(feature = "http"))]
            Self::Url { .. } => Err(no_http()),
        }
    }

    /// Reads a range. A read from a URL fails if the content is not the `known` version.
    pub(super) async fn read(
        &self,
        storage: Option<&StorageClient>,
        known: KnownVersion<'_>,
        range: Range<u64>,
    ) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::default());
        }
        match self {
            Self::Object { bucket, key } => in_storage(storage)?.get_range(bucket, key, range).await,
            Self::Path(path) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&file, range)).await;
                read.map_err(std::io::Error::other).flatten().map_err(|error| self.fault(error))
            }
            #[cfg(feature = "http")]
            Self::Url { url, .. } => super::http::read(url, known, range).await,
            #[cfg(not(feature = "http"))]
            Self::Url { .. } => {
                let KnownVersion { .. } = known;
                Err(no_http())
            }
        }
    }

    /// The whole content in pieces of one answer, where it cannot be read by range; `None` where it can.
    pub(super) fn whole(&self, known: KnownVersion<'_>) -> Option<BoxStream<'static, Result<Bytes>>> {
        match self {
            #[cfg(feature = "http")]
            Self::Url { url, ranges: false } => {
                Some(super::http::stream(url.clone(), known.size, known.mark.map(str::to_owned)))
            }
            _ => {
                let KnownVersion { .. } = known;
                None
            }
        }
    }

    /// Whether each read notices a changed content; otherwise the caller must check the version.
    pub(super) fn watches_itself(&self) -> bool {
        matches!(self, Self::Url { .. })
    }

    fn fault(&self, error: std::io::Error) -> Error {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("cannot read the file `{self}`, {error}")).with_source(error)
    }
}

fn in_storage(storage: Option<&StorageClient>) -> Result<&StorageClient> {
    storage.ok_or_else(|| Error::new(ErrorKind::Unexpected, "the job has no storage"))
}

#[cfg(not(feature = "http"))]
pub(super) fn no_http() -> Error {
    Error::new(ErrorKind::Unsupported, "this program reads no URLs")
        .with_hint("enable the cargo feature `http` of crate `lithops`")
}
/// Reads a range of a file into memory that begins at an aligned address: the kernel copies to others much
/// more slowly.
fn read_file(path: &Path, range: Range<u64>) -> std::io::Result<Bytes> {
    let len = range.end - range.start;
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes: Vec<u8> = Vec::with_capacity(len as usize + ALIGNED);
    let skip = bytes.as_ptr().align_offset(ALIGNED).min(ALIGNED);
    bytes.resize(skip, 0);
    if (file.take(len).read_to_end(&mut bytes)? as u64) < len {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Bytes::from(bytes::Bytes::from(bytes).slice(skip..)))
}
