//! [`DataObject`]: a part of an object, as a function sees it.

use std::{
    fmt,
    ops::Range,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Split};
use tokio_util::io::StreamReader;

use super::{compression::Compression, location::ObjectLocation, part::Partition, reading::Reading};
use crate::{
    bytes::Bytes,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    function::{Reserved, Scope},
    runtime::block_on,
    storage::StorageClient,
};

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
    /// of any size.
    pub fn reader(&self) -> impl AsyncRead + Send + Unpin + use<> {
        let pieces = self.reading().pieces().map_ok(Bytes::into_inner).map_err(std::io::Error::other);
        self.partition.compression.unpack(BufReader::new(StreamReader::new(pieces)))
    }

    /// The lines of the part as text, one after another: a `Stream`, with a `next` of its own. They are those
    /// of [`Bytes::lines`]: `
    /// ` and `\r
    /// ` end lines, independent of `obj_newline`, and bytes that are not UTF-8 are replaced. Objects that are
    /// packed in a form that is not unpacked here have no lines: the first one is an error.
    pub fn lines(&self) -> Lines {
        let reader: Pin<Box<dyn AsyncRead + Send>> = match self.partition.compression {
            Compression::Other => {
                let refused = std::io::Error::other(self.has_no_lines());
                let nothing = stream::iter([Err::<bytes::Bytes, _>(refused)]);
                Box::pin(StreamReader::new(nothing))
            }
            _ => Box::pin(self.reader()),
        };
        Lines { object: self.clone(), lines: BufReader::with_capacity(64 << 10, reader).split(b'\n') }
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

/// The lines of a part, as [`DataObject::lines`] reads them.
pub struct Lines {
    object: DataObject,
    lines: Split<BufReader<Pin<Box<dyn AsyncRead + Send>>>>,
}

impl Lines {
    /// The next line; `None` after the last.
    ///
    /// # Errors
    /// As [`DataObject::bytes`].
    pub async fn next(&mut self) -> Option<Result<String>> {
        StreamExt::next(self).await
    }
}

impl Stream for Lines {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let lines = &mut *self;
        Pin::new(&mut lines.lines).poll_next_segment(context).map(|line| match line {
            Ok(line) => line.map(|line| Ok(text(line))),
            Err(error) => Some(Err(lines.object.fault(error))),
        })
    }
}

fn text(mut line: Vec<u8>) -> String {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("object", &self.object).finish_non_exhaustive()
    }
}
