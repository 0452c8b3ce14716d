//! The parts of an object, compared with a scan of the whole object.

use std::sync::Arc;

use proptest::prelude::*;

use crate::{
    partition::{location::ObjectLocation, resolved::ResolvedObject, *},
    storage::{MemoryStorage, StorageClient},
};

/// The offsets where records begin, by a scan from the start.
fn begins(content: &[u8], separator: &[u8]) -> Vec<u64> {
    let mut begins = vec![0];
    let mut at = 0;
    while at + separator.len() <= content.len() {
        if &content[at..at + separator.len()] == separator {
            at += separator.len();
            begins.push(at as u64);
        } else {
            at += 1;
        }
    }
    begins
}

async fn parts(content: &[u8], options: ObjectOptions) -> Vec<(std::ops::Range<u64>, Vec<u8>, Vec<u8>)> {
    use tokio::io::AsyncReadExt as _;

    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "b");
    storage.put_object("b", "k", content.to_vec()).await.unwrap();
    let meta = storage.head_object("b", "k").await.unwrap();
    let place = ObjectLocation::Object { bucket: "b".into(), key: "k".into() };
    let prepared =
        ResolvedObjects::new(vec![ResolvedObject { place, size: meta.size, mark: meta.etag }], options);
    let mut read = Vec::new();
    for partition in prepared.parts() {
        let object = DataObject::new(partition, Some(storage.clone()));
        let mut streamed = Vec::new();
        object.reader().read_to_end(&mut streamed).await.unwrap();
        read.push((object.byte_range(), object.bytes().await.unwrap().to_vec(), streamed));
    }
    assert_eq!(read.len() as u64, prepared.len());
    read
}

fn by_size(size: u64, newline: &str) -> ObjectOptions {
    ObjectOptions {
        chunk_size: Some(ByteSize::b(size)),
        newline: Some(Some(newline.to_owned())),
        ..ObjectOptions::default()
    }
}

/// Every part has the records that begin in its range, and all of them together are the object.
async fn check(content: &[u8], separator: &str, options: ObjectOptions) {
    let begins = begins(content, separator.as_bytes());
    let mut whole = Vec::new();
    for (range, bytes, streamed) in parts(content, options).await {
        assert!(bytes == streamed, "a part is the same read at once and as a stream");
        let start =
            begins.iter().copied().find(|begin| *begin >= range.start).unwrap_or(content.len() as u64);
        let end = begins.iter().copied().find(|begin| *begin >= range.end).unwrap_or(content.len() as u64);
        let expected = &content[start as usize..end.max(start) as usize];
        assert_eq!(bytes, expected, "{range:?} of {content:?} by {separator:?}");
        whole.extend_from_slice(&bytes);
    }
    assert_eq!(whole, content, "nothing is lost and nothing is twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn parts_are_the_object(
        content in prop::collection::vec(prop::sample::select(b"ab\n\r".to_vec()), 0..24),
        separator in prop::sample::select(vec!["\n", "\r\n", "\n\n", "aba", "aab", "aa", "ab\nab"]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            // Every size, also beyond the object's, and every number of parts.
            for size in 1..=content.len() as u64 + 2 {
                check(&content, separator, by_size(size, separator)).await;
                let number = ObjectOptions { chunk_number: Some(size), ..by_size(1, separator) };
                check(&content, separator, ObjectOptions { chunk_size: None, ..number }).await;
            }
        });
    }
}

#[tokio::test]
async fn records_longer_than_what_is_read_at_once_are_whole() {
    // Python Lithops cuts records at 128 KiB.
    let mut content = Vec::new();
    for (number, len) in [300_000, 0, 1, 200_000, 7].into_iter().enumerate() {
        content.extend(std::iter::repeat_n(b'a' + number as u8, len));
        content.push(b'\n');
    }
    for size in [1000, 65_536, 65_537, 131_072, 1_000_000] {
        check(&content, "\n", by_size(size, "\n")).await;
    }
}

#[tokio::test]
async fn long_runs_of_a_separator_that_overlaps_itself_are_cut_as_a_scan_would() {
    let mut content = b"x".to_vec();
    content.extend(std::iter::repeat_n(b'\n', 200_001));
    content.extend_from_slice(b"y\n\nz");
    for size in [65_536, 99_999] {
        check(&content, "\n\n", by_size(size, "\n\n")).await;
    }
}

#[tokio::test]
async fn the_originals_faults_are_not_here() {
    let texts = |parts: Vec<(_, Vec<u8>, _)>| -> Vec<String> {
        parts
            .into_iter()
            .map(|(_, bytes, _): (std::ops::Range<u64>, _, Vec<u8>)| String::from_utf8(bytes).unwrap())
            .collect()
    };
    // A last record without a newline is not lost.
    assert_eq!(texts(parts(b"one\ntwo\nthree", by_size(6, "\n")).await), ["one\ntwo\n", "three", ""]);
    // An object of one byte is not skipped, and an empty object has one part.
    assert_eq!(texts(parts(b"x", by_size(5, "\n")).await), ["x"]);
    assert_eq!(texts(parts(b"", ObjectOptions::default()).await), [""]);
    assert_eq!(texts(parts(b"", by_size(5, "\n")).await), [""]);
    // Several bytes may end a record together.
    assert_eq!(texts(parts(b"a--b--c", by_size(2, "--")).await), ["a--", "b--", "", "c"]);
    // Without a separator, ranges are exact.
    let exact = ObjectOptions { chunk_number: Some(3), newline: Some(None), ..ObjectOptions::default() };
    assert_eq!(texts(parts(b"0123456789", exact).await), ["012", "345", "6789"]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let both = ObjectOptions { chunk_number: Some(1), ..by_size(1, "\n") };
    for (options, word) in [
        (both, "both say"),
        (by_size(0, "\n"), "`obj_chunk_size` is 0"),
        (by_size(1, ""), "`obj_newline` is empty"),
        (ObjectOptions { chunk_number: Some(0), ..ObjectOptions::default() }, "`obj_chunk_number` is 0"),
    ] {
        let error = options.check().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// A stored object with that content, as one part, and its storage.
async fn object_of(key: &str, content: &[u8]) -> (StorageClient, DataObject) {
    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "b");
    storage.put_object("b", key, content.to_vec()).await.unwrap();
    let meta = storage.head_object("b", key).await.unwrap();
    let place = ObjectLocation::Object { bucket: "b".into(), key: key.into() };
    let found = vec![ResolvedObject { place, size: meta.size, mark: meta.etag }];
    let partition = ResolvedObjects::new(found, ObjectOptions::default()).parts().next().unwrap();
    let object = DataObject::new(partition, Some(storage.clone()));
    (storage, object)
}

#[tokio::test]
async fn lines_are_the_same_as_a_stream_and_at_once() {
    for content in [
        &b""[..],
        b"\n",
        b"a",
        b"a\n",
        b"a\n\nb",
        b"a\r\nb\r",
        b"a\n\r",
        b"caf\xe9\nna\xc3\xafve\n",
        b"\xff\n\n",
    ] {
        let (_, object) = object_of("k", content).await;
        let mut streamed = Vec::new();
        let mut lines = object.lines();
        while let Some(line) = lines.next().await {
            streamed.push(line.unwrap());
        }
        let bytes = object.bytes().await.unwrap();
        assert_eq!(streamed, bytes.lines().collect::<Vec<_>>(), "{content:?}");
    }
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_streamed_is_an_error() {
    use tokio::io::AsyncReadExt as _;

    let (storage, object) = object_of("k", &vec![b'x'; 20 << 20]).await;
    let mut reader = object.reader();
    reader.read_exact(&mut [0; 100]).await.unwrap();
    storage.put_object("b", "k", vec![b'y'; 20 << 20]).await.unwrap();
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err().to_string();
    assert!(error.contains("`b/k` was changed after the job was started"), "{error}");
}

#[tokio::test]
async fn compressed_objects_that_end_early_are_errors() {
    use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt as _;

    let text: Vec<u8> =
        (0..200_000u32).flat_map(|at| (at.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect();
    let (mut gzip, mut zstd) = (GzipEncoder::new(Vec::new()), ZstdEncoder::new(Vec::new()));
    gzip.write_all(&text).await.unwrap();
    gzip.shutdown().await.unwrap();
    zstd.write_all(&text).await.unwrap();
    zstd.shutdown().await.unwrap();
    let mut objects = vec![("k.gz", gzip.into_inner())];
    // All tests of the workspace together have the feature; those of this crate alone do not.
    objects.extend(cfg!(feature = "zstd").then(|| ("k.zst", zstd.into_inner())));
    for (key, packed) in objects {
        let (_, object) = object_of(key, &packed).await;
        assert!(*object.bytes().await.unwrap() == *text, "{key}");
        for cut in [1, 5, packed.len() / 2] {
            let (_, object) = object_of(key, &packed[..packed.len() - cut]).await;
            let error = object.bytes().await.map(|bytes| bytes.len()).unwrap_err().to_string();
            assert!(error.contains("cannot unpack"), "{key} without {cut} bytes: {error}");
        }
    }
}
