//! Trials of objects that are too large for one request, or come in pieces.

use futures_util::{StreamExt, stream};
use lithops_core::{
    bytes::Bytes,
    error::{Error, ErrorKind},
    storage::StorageClient,
};

use super::subject::{Subject, kind};

const MIB: usize = 1 << 20;

fn content(len: usize) -> Vec<u8> {
    // Neither repeating with the size of a part nor with that of a page.
    (0..len).map(|at| (at % 251) as u8 ^ (at / 8191) as u8).collect()
}

pub(super) async fn large_objects_come_back_whole_and_by_range(subject: Subject) {
    let whole = Bytes::from(content(64 * MIB + 5));
    subject.put("put", whole.clone()).await;
    assert!(subject.get("put").await.expect("get") == whole, "64 MiB and 5 bytes come back");
    for start in [0, 8 * MIB - 1, 16 * MIB, 64 * MIB - 3] {
        let range = start as u64..(start + 8).min(whole.len()) as u64;
        let read = subject.range("put", range.clone()).await.expect("range");
        assert_eq!(*read, whole[range.start as usize..range.end as usize], "{range:?}");
    }
    let pieces: Vec<_> = whole.chunks(3 * MIB + 1).map(|piece| Ok(Bytes::from(piece.to_vec()))).collect();
    let key = subject.key("stream");
    subject.storage.put_stream(&subject.bucket, &key, stream::iter(pieces).boxed()).await.expect("put");
    let client = StorageClient::new(std::sync::Arc::clone(&subject.storage), subject.bucket.as_str());
    let (meta, mut read) = client.get_stream(&subject.bucket, &key).await.expect("get");
    assert_eq!(meta.size, whole.len() as u64);
    let mut at = 0;
    while let Some(piece) = read.next().await {
        let piece = piece.expect("a piece");
        assert!(*piece == whole[at..at + piece.len()], "the piece at {at}");
        at += piece.len();
    }
    assert_eq!(at, whole.len());
    for (key, len) in [("none", 0), ("one", 1)] {
        let pieces = stream::iter(vec![Ok(Bytes::from(content(len)))]).boxed();
        subject.storage.put_stream(&subject.bucket, &subject.key(key), pieces).await.expect(key);
        assert_eq!(*subject.get(key).await.expect(key), *content(len), "{key}");
    }
}

pub(super) async fn a_stream_that_fails_stores_nothing(subject: Subject) {
    for sent in [0, 10, 20 * MIB] {
        let fault = Err(Error::new(ErrorKind::Cancelled, "the source is gone"));
        let pieces = vec![Ok(Bytes::from(content(sent))), fault];
        let key = subject.key("half");
        let put = subject.storage.put_stream(&subject.bucket, &key, stream::iter(pieces).boxed());
        assert_eq!(kind(put.await), ErrorKind::Cancelled);
        assert_eq!(kind(subject.get("half").await), ErrorKind::NotFound, "after {sent} bytes");
        assert_eq!(subject.keys("").await, [""; 0], "after {sent} bytes");
    }
    subject.put("there", "before").await;
    let pieces = vec![Ok(Bytes::from(content(10))), Err(Error::new(ErrorKind::Cancelled, "gone"))];
    let key = subject.key("there");
    kind(subject.storage.put_stream(&subject.bucket, &key, stream::iter(pieces).boxed()).await);
    assert_eq!(*subject.get("there").await.expect("it was there"), *b"before");
}

pub(super) async fn a_large_object_replaces_a_small_one(subject: Subject) {
    subject.put("key", "small").await;
    let large = Bytes::from(content(17 * MIB));
    subject.put("key", large.clone()).await;
    assert!(subject.get("key").await.expect("get") == large, "the large one is there");
    subject.put("key", "small again").await;
    assert_eq!(*subject.get("key").await.expect("get"), *b"small again");
}
