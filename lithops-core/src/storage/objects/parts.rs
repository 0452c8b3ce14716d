//! Multipart uploads, in which a large object is never in memory, or in one request, as a whole.

use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path,
};

use super::faults::translate;
use crate::{bytes::Bytes, error::Result, storage::StorageRetryPolicy};

/// The size of a part in bytes. Stores accept parts from 5 MiB on, and 10,000 of them, which gives
/// 78 GiB in all.
pub(in crate::storage) const PART: usize = 8 << 20;
/// The number of parts that are uploaded at once.
const AT_ONCE: usize = 4;

/// The destination of an upload.
pub(in crate::storage) struct UploadTarget<'a> {
    pub(in crate::storage) store: &'a dyn MultipartStore,
    pub(in crate::storage) patience: &'a StorageRetryPolicy,
    pub(in crate::storage) path: &'a Path,
    pub(in crate::storage) bucket: &'a str,
    pub(in crate::storage) key: &'a str,
}

/// Stores an object from a stream of pieces. No reader sees it before it is complete, or after the
/// stream ended with an error.
pub(in crate::storage) async fn upload(
    target: &UploadTarget<'_>,
    pieces: BoxStream<'static, Result<Bytes>>,
) -> Result<()> {
    let UploadTarget { store, patience, path, bucket, key } = *target;
    let fault = |error| translate(error, "store", bucket, key);
    let id = patience.run(|_| async { store.create_multipart(path).await.map_err(fault) }).await?;
    let id = &id;
    let put = |(number, part): (usize, PutPayload)| async move {
        let put = |_| async { store.put_part(path, id, number, part.clone()).await.map_err(fault) };
        patience.run(put).await
    };
    let stored = async {
        let numbered = parts(pieces).enumerate().map(|(number, part)| part.map(|part| (number, part)));
        let ids: Vec<PartId> = numbered.map_ok(put).try_buffered(AT_ONCE).try_collect().await?;
        let complete = |again| {
            let ids = ids.clone();
            async move {
                match store.complete_multipart(path, id, ids).await.map_err(fault) {
                    // An earlier try has completed the upload, after which its id no longer exists.
                    Err(error) if again && error.kind() == crate::error::ErrorKind::NotFound => Ok(()),
                    completed => completed.map(drop),
                }
            }
        };
        patience.run(complete).await
    };
    let stored = stored.await;
    if stored.is_err() {
        // Parts of an upload that is never completed cost money. An error of the abort is ignored,
        // because the first error is the one to report.
        drop(store.abort_multipart(path, id).await);
    }
    stored
}

/// Collects the pieces into parts of one size; the last part may be shorter. An empty object is one
/// empty part.
fn parts(pieces: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<PutPayload>> {
    let state = (pieces, Vec::<bytes::Bytes>::new(), false);
    stream::try_unfold((state, true), |((mut pieces, mut waiting, mut ended), first)| async move {
        let mut len: usize = waiting.iter().map(bytes::Bytes::len).sum();
        while len < PART && !ended {
            match pieces.try_next().await? {
                Some(piece) => {
                    len += piece.len();
                    waiting.push(piece.into_inner());
                }
                None => ended = true,
            }
        }
        if len == 0 && !first {
            return Ok(None);
        }
        let mut part = Vec::new();
        let mut room = PART;
        let mut rest = Vec::new();
        for mut piece in waiting {
            let fits = piece.split_to(piece.len().min(room));
            room -= fits.len();
            part.push(fits);
            if !piece.is_empty() {
                rest.push(piece);
            }
        }
        let state = ((pieces, rest, ended), false);
        Ok(Some((part.into_iter().collect::<PutPayload>(), state)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sizes(pieces: Vec<usize>) -> Vec<usize> {
        let pieces = stream::iter(pieces.into_iter().map(|len| Ok(Bytes::from(vec![1; len])))).boxed();
        parts(pieces).map_ok(|part| part.content_length()).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn pieces_become_parts_of_one_size() {
        assert_eq!(sizes(vec![]).await, [0]);
        assert_eq!(sizes(vec![1]).await, [1]);
        assert_eq!(sizes(vec![PART]).await, [PART]);
        assert_eq!(sizes(vec![PART - 1, 3, 0]).await, [PART, 2]);
        assert_eq!(sizes(vec![3 * PART + 5]).await, [PART, PART, PART, 5]);
    }
}
