//! Tests of listings of folders.

use std::{
    ffi::OsStr,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
    sync::Arc,
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Uid,
    thread::set_thread_uid,
};

use super::*;
use crate::storage::{FileStorage, StorageClient};

/// Creates an entry at a path.
type Make = fn(&Path);

/// A bucket `b` with an object `a`.
fn bucket() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let bucket = root.path().join("b");
    fs::create_dir_all(bucket.join("x/y")).unwrap();
    fs::write(bucket.join("a"), "1").unwrap();
    fs::write(bucket.join("x/y/z"), "22").unwrap();
    (root, bucket)
}

fn keys(root: &Path, prefix: &str) -> Vec<String> {
    let mut keys: Vec<_> = list(root, "b", prefix).unwrap().into_iter().map(|object| object.key).collect();
    keys.sort_unstable();
    keys
}

fn fault(root: &Path, prefix: &str) -> String {
    list(root, "b", prefix).unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_listed_is_what_is_found_by_its_key() {
    let (root, bucket) = bucket();
    symlink(bucket.join("x/y/z"), bucket.join("x/link")).unwrap();
    let storage = StorageClient::new(Arc::new(FileStorage::new(root.path()).unwrap()), "b");
    storage.put_object("b", "x/y/new", "333").await.unwrap();
    let listed = storage.list_objects("b", "").await.unwrap();
    assert_eq!(
        listed.iter().map(|object| &object.key[..]).collect::<Vec<_>>(),
        ["a", "x/link", "x/y/new", "x/y/z"]
    );
    for object in listed {
        assert_eq!(storage.head_object("b", &object.key).await.unwrap(), object);
    }
}

#[test]
fn every_prefix_gives_what_starts_so() {
    let (root, _bucket) = bucket();
    for (prefix, found) in [
        ("", vec!["a", "x/y/z"]),
        ("a", vec!["a"]),
        ("a/", vec![]),
        ("x", vec!["x/y/z"]),
        ("x/", vec!["x/y/z"]),
        ("x/y", vec!["x/y/z"]),
        ("x/y/z", vec!["x/y/z"]),
        ("x/y/zz", vec![]),
        ("nothing/here", vec![]),
        ("/", vec![]),
        ("../b/", vec![]),
        ("x//y", vec![]),
    ] {
        assert_eq!(keys(root.path(), prefix), found, "{prefix}");
    }
    assert!(list(root.path(), "none", "").unwrap().is_empty());
}

#[test]
fn what_is_no_object_is_named_and_in_nobodys_way_elsewhere() {
    let (root, bucket) = bucket();
    let things: [(&str, Make); 5] = [
        ("loop", |place| symlink("..", place).unwrap()),
        ("self", |place| symlink("self", place).unwrap()),
        ("broken", |place| symlink("nowhere", place).unwrap()),
        ("pipe", |place| mknodat(CWD, place, FileType::Fifo, Mode::RUSR, 0).unwrap()),
        ("socket", |place| drop(UnixListener::bind(place).unwrap())),
    ];
    for (name, make) in things {
        let place = bucket.join("x").join(name);
        make(&place);
        for prefix in ["", "x/", &format!("x/{name}")] {
            let fault = fault(root.path(), prefix);
            assert!(fault.contains(place.to_str().unwrap()), "{prefix}: {fault}");
        }
        assert_eq!(keys(root.path(), "a"), ["a"]);
        assert_eq!(keys(root.path(), "x/y/"), ["x/y/z"]);
        fs::remove_file(place).unwrap();
    }
    let name = OsStr::from_bytes(b"x/\xff");
    fs::write(bucket.join(name), "").unwrap();
    assert!(fault(root.path(), "x").contains("not UTF-8"));
    assert_eq!(keys(root.path(), "a"), ["a"]);
}

#[test]
fn a_folder_that_may_not_be_read_is_named() {
    let (root, bucket) = bucket();
    let (x, mode) = (bucket.join("x"), |mode| fs::Permissions::from_mode(mode));
    fs::set_permissions(root.path(), mode(0o755)).unwrap();
    fs::set_permissions(&x, mode(0o000)).unwrap();
    let place = root.path().to_owned();
    let looked = thread::spawn(move || {
        // A user who may read everything becomes another user, in this thread only.
        let _ = set_thread_uid(Uid::from_raw(65534));
        (fault(&place, ""), fault(&place, "x/y/"), keys(&place, "a"))
    });
    let (all, below, other) = looked.join().unwrap();
    fs::set_permissions(&x, mode(0o755)).unwrap();
    assert!(all.contains(x.to_str().unwrap()) && all.contains("denied"), "{all}");
    assert!(below.contains(x.join("y").to_str().unwrap()) && below.contains("denied"), "{below}");
    assert_eq!(other, ["a"]);
}

#[test]
fn in_a_jobs_folder_only_files_count() {
    let (root, bucket) = bucket();
    let job = bucket.join("some/lithops.jobs/1");
    fs::create_dir_all(&job).unwrap();
    fs::write(job.join("record"), "").unwrap();
    fs::write(job.join("inputs#1"), "").unwrap();
    symlink("nowhere", job.join("broken")).unwrap();
    symlink(bucket.join("x"), job.join("elsewhere")).unwrap();
    symlink("..", job.join("loop")).unwrap();
    mknodat(CWD, job.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert_eq!(keys(root.path(), "some/"), ["some/lithops.jobs/1/record"]);
}

#[test]
fn a_file_that_is_named_like_an_unfinished_one_is_listed_unless_it_is_one() {
    let (root, bucket) = bucket();
    fs::write(bucket.join("report#1"), "1").unwrap();
    assert_eq!(keys(root.path(), ""), ["a", "report#1", "x/y/z"]);
    let unfinished = bucket.join("new#1");
    fs::write(&unfinished, "1").unwrap();
    let seen = fs::symlink_metadata(&unfinished).unwrap();
    fs::write(&unfinished, "12").unwrap();
    assert!(is_being_written(&unfinished, &seen));
    fs::rename(&unfinished, bucket.join("new")).unwrap();
    assert!(is_being_written(&unfinished, &seen));
}
