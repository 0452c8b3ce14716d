//! Tests of stored programs.

use std::{process::Command, sync::Arc};

use super::*;
use crate::storage::MemoryStorage;

fn artifact(bytes: Vec<u8>) -> Artifact {
    Artifact { digest: Digest::of(&bytes), bytes: bytes.into() }
}

#[tokio::test]
async fn what_was_shipped_is_executed_and_nothing_else() {
    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "own");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path();
    let program = artifact(std::fs::read("/bin/echo").expect("a program"));
    let shipped = StoredProgram::of(&program);
    assert!(shipped.key().starts_with("lithops.programs/"));
    shipped.put(&program, &storage).await.expect("stored");
    shipped.put(&program, &storage).await.expect("it is there");
    let mark = shipped.key_of_use();
    let stored = storage.list_keys("own", "").await.expect("a list");
    assert_eq!(stored, [mark, shipped.key().to_owned()], "and when it was used");
    for place in [cache, Path::new("/proc"), Path::new("/nowhere")] {
        let file = shipped.fetch(&storage, place).await.expect("fetched");
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        let said = Command::new(path).arg("hello").output().expect("it runs");
        assert_eq!(said.stdout, b"hello\n", "{place:?}");
        assert!(rustix::io::write(&file, b"x").is_err(), "nobody writes to it");
    }
    assert_eq!(std::fs::read_dir(cache).expect("a folder").count(), 0, "no name");

    // Another machine may have a disk that can hold the program.
    let no_folder = tempfile::NamedTempFile::new().expect("a file");
    let error = shipped.fetch(&storage, no_folder.path()).await.expect_err("it cannot be kept");
    assert!(error.to_string().contains("cannot keep the program"), "{error}");
    assert_eq!(error.retry(), Retry::Later);

    // Another program has written there.
    let other = artifact(std::fs::read("/bin/true").expect("a program"));
    let wrong = StoredProgram { key: shipped.key.clone(), ..StoredProgram::of(&other) };
    storage.delete_object("own", &shipped.key).await.expect("deleted");
    wrong.put(&other, &storage).await.expect("stored");
    let error = shipped.fetch(&storage, cache).await.expect_err("it is another");
    assert!(
        error.to_string().contains("is not what was stored") && StoredProgram::is_damaged(&error),
        "{error}"
    );
    let bomb = StoredProgram { len: 10, ..wrong };
    assert!(bomb.fetch(&storage, cache).await.is_err(), "longer than was said");
    assert_eq!(std::fs::read_dir(cache).expect("a folder").count(), 0);

    // The object is missing, or cannot be unpacked: a client can store it again.
    for rubbish in [None, Some(""), Some("x"), Some("\u{28}\u{b5}")] {
        storage.delete_object("own", &shipped.key).await.expect("deleted");
        if let Some(rubbish) = rubbish {
            storage.put_object("own", &shipped.key, rubbish).await.expect("stored");
        }
        let error = shipped.fetch(&storage, cache).await.expect_err("it is damaged");
        assert!(StoredProgram::is_damaged(&error) && error.to_string().contains(shipped.key()), "{error}");
        shipped.put_again(&program, &storage).await.expect("stored again");
        shipped.fetch(&storage, cache).await.expect("it is whole");
    }
}
