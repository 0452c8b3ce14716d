//! What only the storages of this crate do. The conformance suite tests what every storage must do.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt, stream};

use crate::{
    config::{Config, Environment, Sources},
    error::{Error, ErrorKind, Result},
    storage::*,
};

async fn put(storage: &dyn Storage, key: &str, content: &'static [u8]) {
    storage.put("bucket", key, content.into(), PutMode::Overwrite).await.unwrap();
}

async fn keys(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    storage.list("bucket", prefix).map_ok(|object| object.key).try_collect().await.unwrap()
}

#[track_caller]
fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    let error = outcome.unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
    error.kind()
}

#[tokio::test]
async fn a_cloud_object_of_another_storage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = StorageClient::new(Arc::new(MemoryStorage::default()), "own");
    let there = StorageClient::new(Arc::new(FileStorage::new(folder.path()).unwrap()), "own");
    let object = there.put_cloudobject("x").await.unwrap();
    let error = here.get_cloudobject(&object).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("open it with a client of storage `localhost`"), "{error}");
}

#[tokio::test]
async fn files_refuse_what_only_they_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::new(folder.path()).unwrap();
    put(&storage, "a", b"x").await;
    put(&storage, "b/c", b"x").await;
    for key in ["a/b", "b", "part#1", "d/part#22"] {
        let outcome = storage.put("bucket", key, b"x".into(), PutMode::Overwrite).await;
        assert_eq!(kind(outcome), ErrorKind::InvalidInput, "{key}");
    }
    let long = storage.put("bucket", &"x".repeat(300), b"x".into(), PutMode::Overwrite).await;
    assert_eq!(kind(long), ErrorKind::InvalidInput);
    assert_eq!(keys(&storage, "").await, ["a", "b/c"]);
}

#[tokio::test]
async fn the_same_locator_opens_the_same_storage() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/ro ot%20#1é");
    let yaml = format!(
        "lithops: {{storage: localhost}}\nlocalhost: {{storage_root: '{}', storage_bucket: data}}",
        root.display()
    );
    let sources = Sources { yaml: Some(yaml), ..Sources::default() };
    let config = Config::load(&sources, &Environment::new(folder.path())).unwrap();
    for scheme in ["localhost", "memory"] {
        let locator = (descriptor(scheme).unwrap().locate)(&config).unwrap();
        let one = StorageClient::connect(&locator).unwrap();
        let other = StorageClient::connect(&locator).unwrap();
        let object = one.put_cloudobject("x").await.unwrap();
        assert_eq!(*other.get_cloudobject(&object).await.unwrap(), *b"x");
        assert_eq!(one.bucket(), if scheme == "localhost" { "data" } else { "storage" });
        assert_eq!(one.storage().capabilities().shared_between_processes, scheme == "localhost");
        assert!(format!("{one:?}").contains(scheme));
    }
    assert!(root.join("data/cloudobjects").is_dir());
    let fault = Config::load(
        &Sources { yaml: Some("localhost: {storage_bucket: a/b}".into()), file: None },
        &Environment::new("/"),
    );
    let fault = (descriptor("localhost").unwrap().locate)(&fault.unwrap()).unwrap_err();
    assert_eq!(fault.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_root_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = FileStorage::new(file.path()).unwrap_err().to_string();
    assert!(error.contains("storage folder") && error.contains("`storage_root`"), "{error}");
}

#[tokio::test]
async fn nothing_is_deleted_through_a_link_and_the_rest_is() {
    let folder = tempfile::tempdir().unwrap();
    let (root, precious) = (folder.path().join("root"), folder.path().join("precious"));
    let storage = FileStorage::new(&root).unwrap();
    for key in ["data/1", "data/z"] {
        put(&storage, key, b"x").await;
    }
    std::fs::create_dir_all(&precious).unwrap();
    std::fs::write(precious.join("keep"), "x").unwrap();
    std::os::unix::fs::symlink(&precious, root.join("bucket/data/link")).unwrap();
    let all = keys(&storage, "data/").await;
    assert_eq!(all, ["data/1", "data/link/keep", "data/z"]);
    let error = storage.delete_many("bucket", all).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("`data/link/keep`"), "{error}");
    assert_eq!(keys(&storage, "data/").await, ["data/link/keep"]);
    assert_eq!(kind(storage.delete("bucket", "data/link/keep").await), ErrorKind::PermissionDenied);
    storage.delete("bucket", "data/link").await.unwrap();
    assert!(precious.join("keep").is_file() && keys(&storage, "").await.is_empty());
    // The same holds when the bucket itself is a link.
    std::os::unix::fs::symlink(&precious, root.join("bucket")).unwrap();
    assert_eq!(kind(storage.delete("bucket", "keep").await), ErrorKind::PermissionDenied);
    assert!(precious.join("keep").is_file());
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_never_waited_for() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::new(folder.path()).unwrap();
    put(&storage, "below/a", b"x").await;
    mknodat(CWD, folder.path().join("bucket/pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("bucket/socket")).unwrap();
    for key in ["pipe", "socket"] {
        assert_eq!(kind(storage.get("bucket", key).await), ErrorKind::Damaged, "{key}");
        assert_eq!(kind(storage.get_within("bucket", key, 9).await), ErrorKind::Damaged, "{key}");
        assert_eq!(kind(storage.get_range("bucket", key, 0..1).await), ErrorKind::Damaged, "{key}");
        assert_eq!(kind(storage.head("bucket", key).await), ErrorKind::Damaged, "{key}");
    }
    for key in ["below", "below/a/b", "none"] {
        assert_eq!(kind(storage.get("bucket", key).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(storage.get_range("bucket", key, 0..1).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(storage.head("bucket", key).await), ErrorKind::NotFound, "{key}");
    }
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::new(folder.path()).unwrap();
    let broken = Error::new(ErrorKind::Io, "the source has failed");
    let pieces = stream::iter([Ok("half".into()), Err(broken)]).boxed();
    assert_eq!(kind(storage.put_stream("bucket", "a/b", pieces).await), ErrorKind::Io);
    put(&storage, "c", b"old").await;
    let again = storage.put("bucket", "c", b"new".into(), PutMode::IfAbsent).await;
    assert_eq!(kind(again), ErrorKind::AlreadyExists);
    let left: Vec<_> = std::fs::read_dir(folder.path().join("bucket/a")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("bucket")).unwrap().count(), 2);
    assert_eq!(*storage.get("bucket", "c").await.unwrap(), *b"old");
}
