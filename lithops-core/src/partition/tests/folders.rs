//! Folders and buckets that contain more than data, and files that are packed.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    sync::Arc,
};

use async_compression::tokio::write::GzipEncoder;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::AsyncWriteExt as _;

use crate::{
    error::{Error, ErrorKind, Result},
    partition::*,
    storage::{FileStorage, MemoryStorage, Storage, StorageClient},
};

/// Makes something at a path.
type Make = fn(&Path);

async fn found(source: DataSource, storage: Arc<dyn Storage>) -> Result<Vec<DataObject>> {
    let storage = StorageClient::new(storage, "b");
    let around = ResolveContext { storage: storage.clone(), workers_are_here: true, storage_is_shared: true };
    let prepared = resolve(source.wanted, ObjectOptions::default(), &around).await?;
    Ok(prepared.parts().map(|part| DataObject::new(part, Some(storage.clone()))).collect())
}

async fn below(folder: &Path) -> Result<Vec<DataObject>> {
    found(DataSource::path(folder), Arc::new(MemoryStorage::default())).await
}

async fn fault(folder: &Path) -> Error {
    below(folder).await.expect_err("there is something that cannot be read")
}

#[tokio::test]
async fn what_is_in_a_folder_and_is_no_file_is_named() {
    let things: [(&str, Make); 5] = [
        ("broken", |place| symlink("nowhere", place).unwrap()),
        ("self", |place| symlink("self", place).unwrap()),
        ("pipe", |place| mknodat(CWD, place, FileType::Fifo, Mode::RUSR, 0).unwrap()),
        ("socket", |place| drop(UnixListener::bind(place).unwrap())),
        ("link to a pipe", |place| {
            mknodat(CWD, place.with_file_name("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
            symlink("pipe", place).unwrap();
        }),
    ];
    for (name, make) in things {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("a"), "a\n").unwrap();
        make(&folder.path().join("below").join(name));
        let fault = fault(folder.path()).await.to_string();
        assert!(fault.contains(folder.path().join("below").to_str().unwrap()), "{name}: {fault}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "a\n").unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    symlink("..", folder.path().join("up")).unwrap();
    assert_eq!(below(folder.path()).await.unwrap().len(), 2, "links to folders are not followed");
}

#[tokio::test]
async fn a_file_without_size_that_is_not_empty_is_an_error() {
    let fault = fault(Path::new("/proc/self/status")).await;
    assert_eq!(fault.kind(), ErrorKind::InvalidInput);
    assert!(fault.to_string().contains("`/proc/self/status` has no size"), "{fault}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    assert!(below(folder.path()).await.unwrap()[0].bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn objects_that_cannot_be_named_are_an_error_before_the_job_starts() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("b/x")).unwrap();
    fs::write(root.path().join("b/a"), "a\n").unwrap();
    let storage = Arc::new(FileStorage::new(root.path()).unwrap());
    let count =
        async |source| found(source, Arc::<FileStorage>::clone(&storage)).await.map(|found| found.len());
    for name in ["report#1", "a\nb"] {
        let place = root.path().join("b").join(name);
        fs::write(&place, "a\n").unwrap();
        for source in [DataSource::prefix("b/"), DataSource::glob("b/*")] {
            let fault = count(source).await.expect_err("it has such a name").to_string();
            assert!(fault.contains(&*name.escape_debug().to_string()), "{fault}");
        }
        assert_eq!(count(DataSource::prefix("b/a").and(DataSource::glob("b/[a]"))).await.ok(), {
            (name == "report#1").then_some(2)
        });
        fs::remove_file(place).unwrap();
    }
    symlink("..", root.path().join("b/x/up")).unwrap();
    assert_eq!(count(DataSource::prefix("b/a")).await.unwrap(), 1);
    assert!(count(DataSource::prefix("b/")).await.unwrap_err().to_string().contains("x/up"));
}

async fn gzip(text: &[u8]) -> Vec<u8> {
    let mut gzip = GzipEncoder::new(Vec::new());
    gzip.write_all(text).await.unwrap();
    gzip.shutdown().await.unwrap();
    gzip.into_inner()
}

#[tokio::test]
async fn zeros_behind_what_gzip_has_made_are_padding_and_nothing_else_is() {
    let one = gzip(b"one\n").await;
    // More zeros than any buffer on the way holds.
    let (some, many) = (vec![0; 1], vec![0; 1 << 20]);
    let large = gzip(&vec![b'x'; 5 << 20]).await;
    let sound: [(&[&[u8]], usize); 7] = [
        (&[&one], 4),
        (&[&one, &one, &one], 12),
        (&[&one, &some], 4),
        (&[&one, &one, &many], 8),
        (&[&large, &many], 5 << 20),
        (&[&large, &one, &large], (10 << 20) + 4),
        (&[&gzip(b"").await, &one, &gzip(b"").await, &some], 4),
    ];
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("x.gz");
    let read = async |parts: &[&[u8]]| {
        fs::write(&place, parts.concat()).unwrap();
        below(&place).await.unwrap()[0].bytes().await.map(|bytes| bytes.len())
    };
    for (parts, len) in sound {
        assert_eq!(read(parts).await.unwrap(), len);
    }
    let broken: [&[&[u8]]; 5] =
        [&[&one, b"garbage"], &[&one, &some, &one], &[&one, &many, b"x"], &[&some, &one], &[&one, &one[..9]]];
    for parts in broken {
        let fault = read(parts).await.unwrap_err().to_string();
        assert!(fault.contains("cannot unpack") && fault.contains("x.gz"), "{fault}");
    }
}

#[tokio::test]
async fn what_is_packed_in_another_way_is_whole_and_has_no_lines() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.bz2", "a.XZ", "a.tgz", "a.zip", "a.lz4", "a.tar.bz2"] {
        let place = folder.path().join(name);
        fs::write(&place, "a\n".repeat(100)).unwrap();
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "b");
        let around = ResolveContext { storage, workers_are_here: true, storage_is_shared: true };
        let options = ObjectOptions { chunk_size: Some(ByteSize::b(10)), ..ObjectOptions::default() };
        let prepared = resolve(DataSource::path(&place).wanted, options, &around).await.unwrap();
        assert_eq!(prepared.len(), 1, "{name}");
        let object = DataObject::new(prepared.parts().next().unwrap(), None);
        assert_eq!(object.bytes().await.unwrap().len(), 200);
        let fault = object.lines().next().await.expect("it says so").unwrap_err();
        assert_eq!(fault.kind(), ErrorKind::Unsupported);
        assert!(fault.to_string().contains(name) && fault.to_string().contains("`.gz`"), "{fault}");
    }
}
