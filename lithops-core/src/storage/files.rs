//! Files as streams of pieces, read from or written to the local disk.

use std::path::{Path, PathBuf};

use futures_util::{Stream, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    bytes::Bytes,
    error::{Error, Result},
    id::new_uuid,
};

/// The number of bytes of an object or file that are read at a time.
pub(super) const PIECE: u64 = 8 << 20;

/// The content of a file as a stream of pieces of 8 MiB.
///
/// # Errors
/// When the file cannot be opened or is a folder. The stream ends with an error when the file
/// cannot be read.
pub async fn file_pieces(path: &Path) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
    let path = path.to_owned();
    let file = tokio::fs::File::open(&path).await.map_err(|error| file_error("read", &path, error))?;
    if file.metadata().await.map_err(|error| file_error("read", &path, error))?.is_dir() {
        return Err(file_error("read", &path, std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(stream::try_unfold((file, path), |(mut file, path)| async move {
        let mut piece = Vec::with_capacity(PIECE as usize);
        let read = (&mut file).take(PIECE).read_to_end(&mut piece).await;
        let read = read.map_err(|error| file_error("read", &path, error))?;
        Ok((read > 0).then(|| (Bytes::from(piece), (file, path))))
    }))
}

/// Writes pieces to a file, and replaces an existing one. A reader sees the whole file or none of it.
///
/// # Errors
/// The error of a piece, or that of the file.
pub async fn write_pieces(path: &Path, pieces: impl Stream<Item = Result<Bytes>> + Send) -> Result<()> {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(format!(".{}.part", new_uuid().simple()));
    let unfinished = PathBuf::from(unfinished);
    let written = async {
        let failed = |error| file_error("write", path, error);
        let mut file = tokio::fs::File::create(&unfinished).await.map_err(failed)?;
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.try_next().await? {
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        tokio::fs::rename(&unfinished, path).await.map_err(failed)
    };
    let written = written.await;
    if written.is_err() {
        // An error of the cleanup is ignored, because the first error is the one to report.
        drop(tokio::fs::remove_file(&unfinished).await);
    }
    written
}

fn file_error(doing: &str, path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot {doing} the file `{}`, {error}", path.display());
    let kind = Error::from(std::io::Error::from(error.kind())).kind();
    Error::new(kind, message).with_context("file", path.display().to_string()).with_source(error)
}
