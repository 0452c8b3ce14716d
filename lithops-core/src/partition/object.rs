//! [`DataObject`]: a part of an object, as a function sees it.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::{ReaderStream, StreamReader};

use super::{
    compression::Compression, lines::Lines, location::ObjectLocation, part::Partition, reading::Reading,
};
use crate::{
    bytes::Bytes,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    function::{Reserved, Scope},
    runtime::block_on,
    storage::StorageClient,
};

/// How many unpacked bytes are looked at together.
const UNPACKED: usize = 64 << 10;

/// A part of an object, file or URL: a reserved parameter of functions whose inputs are a
/// [`DataSource`](super::DataSource). The part is read only when the function asks for its content.
///
/// Objects are bytes. Parts begin where a record does, and records end with the bytes of `obj_newline`, which
/// is `
/// ` by default: in UTF-8, and in every encoding that extends ASCII, that byte is never in the middle of a
/// character. Text in UTF-16 or UTF-32 must not be cut: leave `obj_chunk_size` out.
///
/// Objects whose names end in `.gz` or `.zst` are unpacked. Other archives and compressed files (`.bz2`,
/// `.xz`, `.zip`, `.tgz`, ..) are never cut, are read as they are, and have no [`lines`](Self::lines).
#[derive(Clone)]
pub struct DataObject {
    partition: Arc<Partition>,
    storage: Option<StorageClient>,
}

impl DataObject {
    pub(crate) fn new(partition: Partition, storage: Option<StorageClient>) -> Self {
        Self { partition: Arc::new(partition), storage }
    }

    /// The object's key; the path of a file; the URL of a URL.
    #[must_use]
    pub fn key(&self) -> &str {
        match &self.partition.place {
            ObjectLocation::Object { key, .. } => key,
            ObjectLocation::Path(path) => path.to_str().unwrap_or_default(),
            ObjectLocation::Url { url, .. } => url,
        }
    }

    /// The object's bucket; empty for files and URLs.
    #[must_use]
    pub fn bucket(&self) -> &str {
        match &self.partition.place {
            ObjectLocation::Object { bucket, .. } => bucket,
            _ => "",
        }
    }

    /// The path, if the object is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.partition.place {
            ObjectLocation::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The URL, if the object is a URL.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        match &self.partition.place {
            ObjectLocation::Url { url, .. } => Some(url),
            _ => None,
        }
    }

    /// The number of this part in its object, from 0.
    #[must_use]
    pub fn part(&self) -> usize {
        usize::try_from(self.partition.part).unwrap_or(usize::MAX)
    }

    /// How many parts the object has.
    #[must_use]
    pub fn total_parts(&self) -> usize {
        usize::try_from(self.partition.total).unwrap_or(usize::MAX)
    }

    /// The part's range of the object, in bytes. The part has the records that begin there: the first may
    /// begin a little later, and the last may end beyond the range.
    #[must_use]
    pub fn byte_range(&self) -> Range<u64> {
        self.partition.range.0..self.partition.range.1
    }

    /// The size of the whole object in bytes, as it is stored.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.partition.size
    }

    /// The whole content of the part, unpacked if the object is compressed.
    ///
    /// # Errors
    /// When the part cannot be read or unpacked, or the object was changed after the job was started.
    pub async fn bytes(&self) -> Result<Bytes> {
        if matches!(self.partition.compression, Compression::None | Compression::Other) {
            return self.reading().bytes().await;
        }
        let mut unpacked = Vec::new();
        self.reader().read_to_end(&mut unpacked).await.map_err(|error| self.fault(error))?;
        Ok(unpacked.into())
    }

    /// Like [`bytes`](Self::bytes), for functions that are not `async`.
    ///
    /// # Errors
    /// The errors of [`bytes`](Self::bytes).
    pub fn bytes_blocking(&self) -> Result<Bytes> {
        block_on(self.bytes())
    }

    /// The part as a stream of bytes, unpacked if the object is compressed. It takes little memory for parts
    /// of any size: the next piece of some MiB is read while the function works on the last one.
    pub fn reader(&self) -> impl AsyncRead + Send + Unpin + use<> {
        let pieces = self.reading().pieces().map_ok(Bytes::into_inner).map_err(std::io::Error::other);
        self.partition.compression.unpack(StreamReader::new(pieces))
    }

    /// The lines of the part as text, one after another: a `Stream`, with a `next` of its own. They are those
    /// of [`Bytes::lines`]: `\n` and `\r\n` end lines, independent of `obj_newline`, and bytes that are not UTF-8 are
    /// replaced. Objects that are packed in a form that is not unpacked here have no lines: the first one is an error.
    pub fn lines(&self) -> Lines {
        Lines::new(match self.partition.compression {
            Compression::None => self.reading().pieces().map_ok(Bytes::into_inner).boxed(),
            Compression::Other => stream::iter([Err(self.has_no_lines())]).boxed(),
            Compression::Gzip | Compression::Zstd => {
                let object = self.clone();
                let unpacked = ReaderStream::with_capacity(self.reader(), UNPACKED);
                unpacked.map_err(move |error| object.fault(error)).boxed()
            }
        })
    }

    fn reading(&self) -> Reading {
        Reading::new((*self.partition).clone(), self.storage.clone())
    }

    fn has_no_lines(&self) -> Error {
        let message = format!("`{}` is packed in a way that is not unpacked here", self.partition.place);
        Error::new(ErrorKind::Unsupported, message)
            .with_hint("`.gz` and `.zst` are; unpack what `bytes()` or `reader()` gives in the function")
    }

    fn fault(&self, error: std::io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => {
                Error::new(ErrorKind::Io, format!("cannot unpack `{}`, {error}", self.partition.place))
                    .with_hint("names that end in `.gz` and `.zst` are taken for compressed objects")
            }
        }
    }
}

impl fmt::Debug for DataObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataObject")
            .field("place", &self.partition.place.to_string())
            .field("part", &self.partition.part)
            .field("total_parts", &self.partition.total)
            .field("byte_range", &self.byte_range())
            .finish()
    }
}

impl Reserved for DataObject {
    type SharedIn<L> = L;

    const OBJECT: bool = true;

    fn take(scope: &Scope<'_>) -> std::result::Result<Self, CallError> {
        let encoded = scope.object.ok_or_else(|| {
            CallError::new(CallErrorKind::Undecodable, "the call was sent without its object")
        })?;
        let partition = Partition::read(encoded)?;
        let storage = match partition.place {
            ObjectLocation::Object { .. } => Some(scope.job.storage()?),
            _ => None,
        };
        Ok(Self::new(partition, storage))
    }
}
