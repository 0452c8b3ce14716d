//! Trials of whole objects, and of the handle that users have.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use lithops_core::{
    bytes::Bytes,
    error::ErrorKind,
    storage::{PutMode, StorageClient},
};

use super::subject::{Subject, kind};

pub(super) async fn objects_come_back_as_they_were_put(subject: Subject) {
    let big: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
    for (key, content) in [("empty", vec![]), ("one", vec![7]), ("a/b/c.bin", big)] {
        let content = Bytes::from(content);
        subject.try_put(key, content.clone(), PutMode::IfAbsent).await.expect(key);
        assert_eq!(subject.get(key).await.expect(key), content);
        let meta = subject.storage.head(&subject.bucket, &subject.key(key)).await.expect(key);
        assert_eq!((meta.key, meta.size), (subject.key(key), content.len() as u64));
    }
    let other = subject.storage.get("lithops-conformance-none", &subject.key("one")).await;
    assert_eq!(kind(other), ErrorKind::NotFound);
}

pub(super) async fn a_put_replaces_and_a_head_describes(subject: Subject) {
    subject.put("key", "first").await;
    let first = subject.storage.head(&subject.bucket, &subject.key("key")).await.expect("it was put");
    subject.put("key", "second one").await;
    let second = subject.storage.head(&subject.bucket, &subject.key("key")).await.expect("it was put");
    assert_eq!((second.key.as_str(), second.size), (subject.key("key").as_str(), 10));
    if let Some(etag) = &second.etag {
        assert_ne!(first.etag.as_ref(), Some(etag), "a mark changes with the content");
    }
    let now = SystemTime::now();
    let apart = now.duration_since(second.modified).or_else(|_| second.modified.duration_since(now));
    assert!(apart.expect("one is later") < Duration::from_secs(60), "{:?}", second.modified);
    assert_eq!(subject.keys("").await, ["key"]);
    assert_eq!(*subject.get("key").await.expect("it was put"), *b"second one");
}

pub(super) async fn what_is_missing_is_not_found(subject: Subject) {
    subject.put("folder/file", "x").await;
    for key in ["nothing", "folder", "folder/file/below", "folder/other"] {
        assert_eq!(kind(subject.get(key).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(subject.range(key, 0..1).await), ErrorKind::NotFound, "{key}");
        assert_eq!(kind(subject.range(key, 0..0).await), ErrorKind::NotFound, "{key}");
        let head = subject.storage.head(&subject.bucket, &subject.key(key)).await;
        assert_eq!(kind(head), ErrorKind::NotFound, "{key}");
    }
    let error = subject.get("nothing").await.expect_err("there is none");
    assert!(error.to_string().contains(&subject.key("nothing")), "the message names the key: {error}");
}

pub(super) async fn what_is_longer_than_asked_for_is_refused(subject: Subject) {
    let within =
        async |key: &str, limit| subject.storage.get_within(&subject.bucket, &subject.key(key), limit).await;
    for (key, content) in [("empty", ""), ("ten", "0123456789")] {
        subject.put(key, content).await;
        for limit in [content.len() as u64, content.len() as u64 + 1, u64::MAX] {
            assert_eq!(*within(key, limit).await.expect(key), *content.as_bytes(), "{limit}");
        }
    }
    for limit in [0, 1, 9] {
        let error = within("ten", limit).await.expect_err("it is longer");
        assert_eq!(error.kind(), ErrorKind::PayloadTooLarge, "{limit}");
        assert!(error.to_string().contains(&subject.key("ten")), "{error}");
    }
    assert_eq!(kind(within("nothing", 9).await), ErrorKind::NotFound);
}

pub(super) async fn a_folder_is_looked_over_and_removed_whole(subject: Subject) {
    for key in ["a/1", "a/b/2", "a/b/c/3", "ab", "b/4"] {
        subject.put(key, "x").await;
    }
    let found = subject.storage.survey(&subject.bucket, &subject.key("a/"));
    let found: Vec<_> = found.map_ok(|object| object.key).try_collect().await.expect("it is looked over");
    assert_eq!(found, ["a/1", "a/b/2", "a/b/c/3"].map(|key| subject.key(key)));
    for _ in 0..2 {
        subject.storage.remove_folder(&subject.bucket, &subject.key("a/")).await.expect("removed");
        assert_eq!(subject.keys("").await, ["ab", "b/4"]);
    }
    let left = subject.storage.remove_unfinished(&subject.bucket, &subject.key("b/4")).await;
    assert!(!left.expect("it looks") && subject.keys("b/").await == ["b/4"], "an object is finished");
}

pub(super) async fn deletes_may_be_repeated(subject: Subject) {
    let delete = async |key: &str| subject.storage.delete(&subject.bucket, &subject.key(key)).await;
    subject.put("a/b", "x").await;
    for key in ["a/b", "a/b", "a", "never", "a/b/c"] {
        delete(key).await.expect(key);
    }
    assert_eq!(subject.keys("").await, [""; 0]);
    subject.put("a/b", "x").await;
    subject.put("c", "x").await;
    let several = ["x", "a/b", "a", "a/b"].map(|key| subject.key(key));
    subject.storage.delete_many(&subject.bucket, several.into()).await.expect("no error");
    subject.storage.delete_many(&subject.bucket, Vec::new()).await.expect("no error");
    assert_eq!(subject.keys("").await, ["c"]);
    let refused = subject.storage.delete_many(&subject.bucket, vec![subject.key("c"), String::new()]).await;
    assert_eq!(kind(refused), ErrorKind::InvalidInput);
    assert_eq!(subject.keys("").await, ["c"], "names are checked before anything is deleted");
}

pub(super) async fn the_client_does_all_of_it(subject: Subject) {
    let bucket = subject.bucket.clone();
    let key = |key: &str| subject.key(key);
    let client = StorageClient::new(std::sync::Arc::clone(&subject.storage), bucket.as_str());
    client.put_object(&bucket, &key("a/1"), "one").await.expect("put");
    client.put_object(&bucket, &key("a/2"), vec![1, 2, 3]).await.expect("put");
    assert_eq!(client.list_keys(&bucket, &key("a/")).await.expect("list"), [key("a/1"), key("a/2")]);
    assert_eq!(client.list_objects(&bucket, &key("a/")).await.expect("list")[1].size, 3);
    assert_eq!(*client.get_range(&bucket, &key("a/1"), 1..3).await.expect("range"), *b"ne");
    assert_eq!(client.head_object(&bucket, &key("a/1")).await.expect("head").size, 3);

    let folder = tempfile::tempdir().expect("a folder");
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    let content: Vec<u8> = (0..20_000_000u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(&up, &content).expect("write");
    std::fs::write(&down, "what was there before").expect("write");
    client.upload_file(&up, &bucket, &key("a/3")).await.expect("upload");
    client.download_file(&bucket, &key("a/3"), &down).await.expect("download");
    assert!(std::fs::read(&down).expect("read") == content, "a file comes back as it was");
    assert_eq!(kind(client.download_file(&bucket, &key("none"), &down).await), ErrorKind::NotFound);
    let missing = client.upload_file(folder.path().join("none"), &bucket, &key("x")).await;
    assert_eq!(kind(missing), ErrorKind::NotFound);
    assert_eq!(kind(client.upload_file(folder.path(), &bucket, &key("x")).await), ErrorKind::Io);
    assert_eq!(kind(client.download_file(&bucket, &key("a/3"), folder.path()).await), ErrorKind::Io);
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "nothing unfinished stays behind");

    let object = client.put_cloudobject("cloud").await.expect("put");
    assert!(object.bucket() == bucket && object.key().starts_with("cloudobjects/"), "{object}");
    assert_eq!(*client.get_cloudobject(&object).await.expect("get"), *b"cloud");
    client.clone().delete_cloudobject(&object).await.expect("delete");
    assert_eq!(kind(client.get_cloudobject(&object).await), ErrorKind::NotFound);

    client.delete_object(&bucket, &key("a/1")).await.expect("delete");
    client.delete_objects(&bucket, [key("a/2"), key("a/3")]).await.expect("delete");
    assert!(client.list_keys(&bucket, &key("")).await.expect("list").is_empty());
}
