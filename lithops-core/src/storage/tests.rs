//! What every storage must do, tried on each implementation of this crate.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use futures_util::TryStreamExt;

use super::*;
use crate::{
    bytes::Bytes,
    config::{Config, Environment, Sources},
    error::{ErrorKind, Result},
};

macro_rules! trials {
    ($($name:ident),* $(,)?) => {
        mod local {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$name(std::sync::Arc::new(super::ObjectStorage::local(folder.path()).unwrap())).await;
                }
            )*
        }
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(std::sync::Arc::new(super::ObjectStorage::memory())).await;
                }
            )*
        }
    };
}

trials!(
    objects_come_back_as_they_were_put,
    a_put_replaces_and_a_head_describes,
    what_is_missing_is_not_found,
    if_absent_lets_exactly_one_writer_win,
    ranges_are_exact_or_refused,
    listings_are_in_key_order_by_string_prefix,
    many_keys_are_listed_and_deleted,
    odd_keys_come_back_or_are_refused,
    deletes_may_be_repeated,
    puts_and_deletes_in_one_folder_do_not_disturb_each_other,
    the_client_does_all_of_it,
);

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

async fn objects_come_back_as_they_were_put(storage: Arc<dyn Storage>) {
    let big: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
    for (key, content) in [("empty", vec![]), ("one", vec![7]), ("a/b/c.bin", big)] {
        let content = Bytes::from(content);
        storage.put("bucket", key, content.clone(), PutMode::IfAbsent).await.unwrap();
        assert_eq!(storage.get("bucket", key).await.unwrap(), content);
        assert_eq!(storage.head("bucket", key).await.unwrap().size, content.len() as u64);
    }
    assert_eq!(kind(storage.get("other", "one").await), ErrorKind::NotFound);
}

async fn a_put_replaces_and_a_head_describes(storage: Arc<dyn Storage>) {
    put(&*storage, "key", b"first").await;
    let first = storage.head("bucket", "key").await.unwrap();
    put(&*storage, "key", b"second one").await;
    let second = storage.head("bucket", "key").await.unwrap();
    assert_eq!((second.key.as_str(), second.size), ("key", 10));
    assert_ne!(first.etag.unwrap(), second.etag.clone().unwrap());
    let age = SystemTime::now().duration_since(second.modified).unwrap_or_default();
    assert!(age.as_secs() < 60, "{age:?}");
    let listed: Vec<ObjectMeta> = storage.list("bucket", "").try_collect().await.unwrap();
    assert_eq!(listed, [second]);
}

async fn what_is_missing_is_not_found(storage: Arc<dyn Storage>) {
    put(&*storage, "folder/file", b"x").await;
    for key in ["nothing", "folder", "folder/file/below", "folder/other"] {
        assert_eq!(kind(storage.get("bucket", key).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(storage.get_range("bucket", key, 0..1).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(storage.get_range("bucket", key, 0..0).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(storage.head("bucket", key).await), ErrorKind::NotFound, "{key}");
    }
    let error = storage.get("bucket", "nothing").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no object `nothing` in bucket `bucket`");
    let context: Vec<_> = error.context().collect();
    assert_eq!(context, [("operation", "read"), ("bucket", "bucket"), ("key", "nothing")]);
}

async fn if_absent_lets_exactly_one_writer_win(storage: Arc<dyn Storage>) {
    let writers = (0..32u8).map(|writer| {
        let storage = Arc::clone(&storage);
        tokio::spawn(async move {
            (writer, storage.put("bucket", "claims/0/1", vec![writer; 1000].into(), PutMode::IfAbsent).await)
        })
    });
    let mut winners = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            (writer, Ok(())) => winners.push(writer),
            (_, Err(error)) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(*storage.get("bucket", "claims/0/1").await.unwrap(), vec![winners[0]; 1000]);
    assert_eq!(keys(&*storage, "").await, ["claims/0/1"]);
}

async fn ranges_are_exact_or_refused(storage: Arc<dyn Storage>) {
    put(&*storage, "digits", b"0123456789").await;
    put(&*storage, "empty", b"").await;
    for (range, part) in
        [(0..10, "0123456789"), (0..1, "0"), (9..10, "9"), (3..7, "3456"), (4..4, ""), (10..10, "")]
    {
        assert_eq!(*storage.get_range("bucket", "digits", range).await.unwrap(), *part.as_bytes());
    }
    assert_eq!(*storage.get_range("bucket", "empty", 0..0).await.unwrap(), *b"");
    for range in [0..11, 9..11, 10..11, 11..11, 11..20, 5..u64::MAX, u64::MAX - 1..u64::MAX] {
        assert_eq!(
            kind(storage.get_range("bucket", "digits", range.clone()).await),
            ErrorKind::InvalidInput,
            "{range:?}"
        );
    }
    assert_eq!(kind(storage.get_range("bucket", "empty", 0..1).await), ErrorKind::InvalidInput);
    let error = storage.get_range("bucket", "digits", 8..12).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the range 8..12 ends beyond object `digits` in bucket `bucket`, which has 10 bytes: end it at 10 at most"
    );
    #[expect(clippy::reversed_empty_ranges, reason = "the very thing that must be refused")]
    let reversed = 7..3;
    let error = storage.get_range("bucket", "digits", reversed).await.unwrap_err().to_string();
    assert!(error.contains("ends before it starts"), "{error}");
}

async fn listings_are_in_key_order_by_string_prefix(storage: Arc<dyn Storage>) {
    let all = ["a", "b-c", "b.c", "b/c", "b/c2/d", "bc", "job-1/x", "job-10/x", "job-2/x", "ä", "日/本"];
    for key in all.iter().rev() {
        put(&*storage, key, b"x").await;
    }
    storage.put("bucket2", "a", b"x".into(), PutMode::Overwrite).await.unwrap();
    assert_eq!(keys(&*storage, "").await, all);
    for (prefix, expected) in [
        ("b", &["b-c", "b.c", "b/c", "b/c2/d", "bc"][..]),
        ("b/", &["b/c", "b/c2/d"]),
        ("b/c", &["b/c", "b/c2/d"]),
        ("b/c2", &["b/c2/d"]),
        ("b/c2/d", &["b/c2/d"]),
        ("b/c2/d/", &[]),
        ("job-1", &["job-1/x", "job-10/x"]),
        ("job-1/", &["job-1/x"]),
        ("a/", &[]),
        ("nothing/here", &[]),
        ("/", &[]),
        ("b//", &[]),
        ("../", &[]),
        ("日", &["日/本"]),
    ] {
        assert_eq!(keys(&*storage, prefix).await, expected, "{prefix:?}");
    }
    assert_eq!(storage.list("none", "").try_collect::<Vec<_>>().await.unwrap(), []);
    assert_eq!(kind(storage.list("a/b", "").try_collect::<Vec<_>>().await), ErrorKind::InvalidInput);
}

async fn many_keys_are_listed_and_deleted(storage: Arc<dyn Storage>) {
    let expected: BTreeSet<String> =
        (0..1100).map(|number| format!("many/{}/{number}", number % 7)).collect();
    for key in &expected {
        put(&*storage, key, b"x").await;
    }
    put(&*storage, "other", b"x").await;
    let listed = keys(&*storage, "many/").await;
    assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
    storage.delete_many("bucket", listed).await.unwrap();
    assert_eq!(keys(&*storage, "").await, ["other"]);
}

async fn odd_keys_come_back_or_are_refused(storage: Arc<dyn Storage>) {
    let held = [
        "with space",
        "ünïcödé/日本語",
        "100%",
        "a%20b",
        "%2e%2e/x",
        "a#b",
        "q?x=1&y=2",
        "back\\slash",
        "quo\"te'",
        "[x]*{y}",
        ".hidden",
        "..x/y..",
        "a.",
        "~",
        "c:d",
        "emoji 🦀",
        " lead",
        "trail ",
        "<tag>",
        "^|`",
        "-",
        "a+b=c,d;e@f$g!",
    ];
    for key in held {
        storage.put("bucket", key, key.to_owned().into(), PutMode::IfAbsent).await.unwrap();
    }
    let mut expected: Vec<_> = held.to_vec();
    expected.sort_unstable();
    assert_eq!(keys(&*storage, "").await, expected);
    for key in held {
        assert_eq!(*storage.get("bucket", key).await.unwrap(), *key.as_bytes(), "{key}");
        assert_eq!(storage.head("bucket", key).await.unwrap().key, key);
        storage.delete("bucket", key).await.unwrap();
    }
    assert_eq!(keys(&*storage, "").await, [""; 0]);

    for key in
        ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "nul\0", "line\nbreak", "\u{7f}"]
    {
        let outcome = storage.put("bucket", key, b"x".into(), PutMode::Overwrite).await;
        assert_eq!(kind(outcome), ErrorKind::InvalidInput, "{key:?}");
        assert_eq!(kind(storage.get("bucket", key).await), ErrorKind::InvalidInput, "{key:?}");
        assert_eq!(kind(storage.delete("bucket", key).await), ErrorKind::InvalidInput, "{key:?}");
    }
    for bucket in ["", "..", "a/b"] {
        assert_eq!(kind(storage.get(bucket, "key").await), ErrorKind::InvalidInput, "{bucket:?}");
    }
}

async fn deletes_may_be_repeated(storage: Arc<dyn Storage>) {
    put(&*storage, "a/b", b"x").await;
    for key in ["a/b", "a/b", "a", "never", "a/b/c"] {
        storage.delete("bucket", key).await.unwrap();
    }
    storage.delete("never", "never").await.unwrap();
    put(&*storage, "a/b", b"x").await;
    put(&*storage, "c", b"x").await;
    storage.delete_many("bucket", ["x", "a/b", "a", "a/b"].map(String::from).into()).await.unwrap();
    storage.delete_many("bucket", Vec::new()).await.unwrap();
    assert_eq!(keys(&*storage, "").await, ["c"]);
    let refused = storage.delete_many("bucket", vec!["c".into(), "../c".into()]).await;
    assert_eq!(kind(refused), ErrorKind::InvalidInput);
    assert_eq!(keys(&*storage, "").await, ["c"], "names are checked before anything is deleted");
}

async fn puts_and_deletes_in_one_folder_do_not_disturb_each_other(storage: Arc<dyn Storage>) {
    let workers = (0..8).map(|worker| {
        let storage = Arc::clone(&storage);
        tokio::spawn(async move {
            for round in 0..60 {
                let key = format!("deep/er/folder/{worker}");
                storage.put("bucket", &key, format!("{round}").into(), PutMode::IfAbsent).await.unwrap();
                storage.list("bucket", "deep/").try_collect::<Vec<_>>().await.unwrap();
                assert_eq!(*storage.get("bucket", &key).await.unwrap(), *format!("{round}").as_bytes());
                storage.delete("bucket", &key).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert_eq!(keys(&*storage, "").await, [""; 0]);
}

async fn the_client_does_all_of_it(storage: Arc<dyn Storage>) {
    let client = StorageClient::new(storage, "own");
    client.put_object("bucket", "a/1", "one").await.unwrap();
    client.put_object("bucket", "a/2", vec![1, 2, 3]).await.unwrap();
    assert_eq!(client.list_keys("bucket", "a/").await.unwrap(), ["a/1", "a/2"]);
    assert_eq!(client.list_objects("bucket", "a/").await.unwrap()[1].size, 3);
    assert_eq!(*client.get_range("bucket", "a/1", 1..3).await.unwrap(), *b"ne");
    assert_eq!(client.head_object("bucket", "a/1").await.unwrap().size, 3);

    let folder = tempfile::tempdir().unwrap();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    std::fs::write(&up, "content").unwrap();
    std::fs::write(&down, "longer than the new content").unwrap();
    client.upload_file(&up, "bucket", "a/3").await.unwrap();
    client.download_file("bucket", "a/3", &down).await.unwrap();
    assert_eq!(std::fs::read_to_string(&down).unwrap(), "content");
    assert_eq!(kind(client.download_file("bucket", "none", &down).await), ErrorKind::NotFound);
    assert_eq!(
        kind(client.upload_file(folder.path().join("none"), "bucket", "x").await),
        ErrorKind::NotFound
    );
    assert_eq!(kind(client.download_file("bucket", "a/3", folder.path()).await), ErrorKind::Io);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing unfinished stays behind");

    let object = client.put_cloudobject("cloud").await.unwrap();
    let object: CloudObject = rmp_serde::from_slice(&rmp_serde::to_vec(&object).unwrap()).unwrap();
    assert!(object.bucket() == "own" && object.key().starts_with("cloudobjects/"), "{object}");
    assert_eq!(*client.get_cloudobject(&object).await.unwrap(), *b"cloud");
    client.clone().delete_cloudobject(&object).await.unwrap();
    assert_eq!(kind(client.get_cloudobject(&object).await), ErrorKind::NotFound);

    client.delete_object("bucket", "a/1").await.unwrap();
    client.delete_objects("bucket", ["a/2", "a/3"]).await.unwrap();
    assert!(client.list_keys("bucket", "").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cloud_object_of_another_storage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = StorageClient::new(Arc::new(ObjectStorage::memory()), "own");
    let there = StorageClient::new(Arc::new(ObjectStorage::local(folder.path()).unwrap()), "own");
    let object = there.put_cloudobject("x").await.unwrap();
    let error = here.get_cloudobject(&object).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("open it with a client of storage `localhost`"), "{error}");
}

#[tokio::test]
async fn files_refuse_what_only_they_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let storage = ObjectStorage::local(folder.path()).unwrap();
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
    let error = ObjectStorage::local(file.path()).unwrap_err().to_string();
    assert!(error.contains("storage folder") && error.contains("`storage_root`"), "{error}");
}
