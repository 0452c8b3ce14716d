//! Trials of names and listings.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use lithops_core::{error::ErrorKind, storage::PutMode};

use super::subject::{Subject, kind};

pub(super) async fn listings_are_in_key_order_by_string_prefix(subject: Subject) {
    let all = ["a", "b-c", "b.c", "b/c", "b/c2/d", "bc", "job-1/x", "job-10/x", "job-2/x", "ä", "日/本"];
    for key in all.iter().rev() {
        subject.put(key, "x").await;
    }
    assert_eq!(subject.keys("").await, all);
    for (prefix, expected) in [
        ("b", &["b-c", "b.c", "b/c", "b/c2/d", "bc"][..]),
        ("b/", &["b/c", "b/c2/d"]),
        ("b/c", &["b/c", "b/c2/d"]),
        ("b/c2", &["b/c2/d"]),
        ("b/c2/d", &["b/c2/d"]),
        ("b/c2/d/", &[]),
        ("b?", &[]),
        ("*", &[]),
        ("[a-z]", &[]),
        ("job-1", &["job-1/x", "job-10/x"]),
        ("job-1/", &["job-1/x"]),
        ("a/", &[]),
        ("nothing/here", &[]),
        ("b//", &[]),
        ("../", &[]),
        ("日", &["日/本"]),
    ] {
        assert_eq!(subject.keys(prefix).await, expected, "{prefix:?}");
    }
    match subject.storage.list("lithops-conformance-none", "").try_collect::<Vec<_>>().await {
        Ok(objects) => assert_eq!(objects, []),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
    }
    assert_eq!(kind(subject.storage.list("a/b", "").try_collect::<Vec<_>>().await), ErrorKind::InvalidInput);
}

/// Consoles and file browsers make such objects to show folders.
pub(super) async fn folder_markers_are_not_listed(subject: Subject) {
    subject.put("folder/file", "x").await;
    match subject.try_put("folder/", "", PutMode::Overwrite).await {
        Ok(()) => {
            let listed = subject.keys("").await;
            // What is not listed is not removed after the trial either.
            subject.storage.delete(&subject.bucket, &subject.key("folder/")).await.expect("it is deleted");
            assert_eq!(listed, ["folder/file"], "an empty object whose key ends in `/` is left out");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}"),
    }
}

pub(super) async fn more_than_a_thousand_keys_are_listed_and_deleted(subject: Subject) {
    let expected: BTreeSet<String> =
        (0..2100).map(|number| format!("many/{}/{number}", number % 7)).collect();
    stream::iter(&expected).for_each_concurrent(32, |key| subject.put(key, "x")).await;
    subject.put("other", "x").await;
    let listed = subject.keys("many/").await;
    assert_eq!(listed, expected.into_iter().collect::<Vec<_>>());
    let all = listed.iter().map(|key| subject.key(key)).collect();
    subject.storage.delete_many(&subject.bucket, all).await.expect("they are deleted");
    assert_eq!(subject.keys("").await, ["other"]);
}

pub(super) async fn odd_keys_come_back_or_are_refused(subject: Subject) {
    let held = [
        "with space",
        "ünïcödé/日本語",
        "100%",
        "a%20b",
        "%2e%2e/x",
        "a#b",
        "q?x=1&y=2",
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
        subject
            .try_put(key, key.to_owned(), PutMode::IfAbsent)
            .await
            .unwrap_or_else(|error| panic!("{key}: {error:?}"));
    }
    let mut expected: Vec<_> = held.to_vec();
    expected.sort_unstable();
    assert_eq!(subject.keys("").await, expected);
    for key in held {
        assert_eq!(*subject.get(key).await.expect(key), *key.as_bytes(), "{key}");
        let meta = subject.storage.head(&subject.bucket, &subject.key(key)).await.expect(key);
        assert_eq!(meta.key, subject.key(key));
        subject.storage.delete(&subject.bucket, &subject.key(key)).await.expect(key);
    }
    assert_eq!(subject.keys("").await, [""; 0]);

    for key in ["/a", "a/", "a//b", "..", "../a", "a/../b", "a/.", "nul\0", "line\nbreak", "\u{7f}"] {
        match subject.try_put(key, "x", PutMode::Overwrite).await {
            Ok(()) => {
                assert_eq!(*subject.get(key).await.expect(key), *b"x", "{key:?}");
                assert_eq!(subject.keys("").await, [key], "a name is never changed");
                subject.storage.delete(&subject.bucket, &subject.key(key)).await.expect(key);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{key:?}: {error:?}");
                assert_eq!(kind(subject.get(key).await), ErrorKind::InvalidInput, "{key:?}");
                let delete = subject.storage.delete(&subject.bucket, &subject.key(key)).await;
                assert_eq!(kind(delete), ErrorKind::InvalidInput, "{key:?}");
            }
        }
    }
    let empty = subject.storage.put(&subject.bucket, "", "x".into(), PutMode::Overwrite).await;
    assert_eq!(kind(empty), ErrorKind::InvalidInput);
    for bucket in ["", "..", "a/b"] {
        assert_eq!(kind(subject.storage.get(bucket, "key").await), ErrorKind::InvalidInput, "{bucket:?}");
    }
}

/// Apart, because one server turns them into slashes.
pub(super) async fn keys_with_backslashes_come_back_or_are_refused(subject: Subject) {
    match subject.try_put("back\\slash", "x", PutMode::Overwrite).await {
        Ok(()) => {
            assert_eq!(*subject.get("back\\slash").await.expect("it was put"), *b"x");
            assert_eq!(subject.keys("").await, ["back\\slash"], "a name is never changed");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}"),
    }
}
