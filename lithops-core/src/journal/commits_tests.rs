//! Tests of the commits of chunks.

use std::sync::Arc;

use super::*;
use crate::{
    id::JobId,
    protocol::failed_together,
    storage::{MemoryStorage, PutMode, StorageClient},
};

const CALLS: (u64, u64) = (8, 12);

fn journal() -> Journal {
    let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
    Journal::new(&storage, JobId::from_bytes([1; 16]))
}

/// Outcomes of the calls of chunk 2, with `author` in them.
fn bundle(journal: &Journal, author: &str) -> ChunkOutcomes {
    let reports = failed_together(journal.job(), vec![CALLS], author.as_bytes()).collect();
    ChunkOutcomes { logs: Vec::new(), reports }
}

fn author(bundle: &ChunkOutcomes) -> String {
    String::from_utf8_lossy(bundle.reports[0].value(0)).into_owned()
}

async fn change(journal: &Journal, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let (storage, bucket) = (&journal.storage, journal.bucket.as_str());
    let mut bytes = storage.get(bucket, key).await.expect("it is there").to_vec();
    change(&mut bytes);
    storage.put(bucket, key, bytes.into(), PutMode::Overwrite).await.expect("stored");
}

async fn read(journal: &Journal) -> Option<String> {
    journal.bundle(2, CALLS).await.expect("reads").map(|bundle| author(&bundle))
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_outcomes_their_chunk_is_open_again_and_the_next_ones_stand() {
    let len = bundle(&journal(), "first").encode().expect("encodes").len() + sealed::HEADER;
    let flips = (0..len)
        .map(|at| Box::new(move |bytes: &mut Vec<u8>| bytes[at] ^= 1) as Box<dyn FnOnce(&mut Vec<u8>)>);
    let cuts = (0..len).map(|to| Box::new(move |bytes: &mut Vec<u8>| bytes.truncate(to)) as _);
    let longer = Box::new(|bytes: &mut Vec<u8>| bytes.push(0)) as _;
    for damage in flips.chain(cuts).chain([longer]) {
        let journal = journal();
        let stored = journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
        assert!(matches!(stored, Stored::Ours));
        assert_eq!(journal.committed().await.expect("lists"), [2]);
        change(&journal, &journal.keys.commit(2, 0), damage).await;
        assert_eq!(read(&journal).await, None);
        assert!(journal.committed().await.expect("lists").is_empty(), "it is open again");
        let note = journal.storage.get(&journal.bucket, &journal.keys.damage(2, 0)).await.expect("a note");
        assert!(String::from_utf8_lossy(&note).contains("/commit/000000000002` is damaged"), "{note:?}");
        let stored = journal.commit(2, CALLS, &bundle(&journal, "second")).await.expect("stored");
        assert!(matches!(stored, Stored::Ours));
        assert_eq!(journal.committed().await.expect("lists"), [2]);
        assert_eq!(read(&journal).await.as_deref(), Some("second"));
    }
}

#[tokio::test(start_paused = true)]
async fn damage_is_noticed_by_whoever_comes_second_too_and_all_of_them_see_the_same() {
    let journal = journal();
    journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
    change(&journal, &journal.keys.commit(2, 0), |bytes| bytes.clear()).await;
    let (one, other) = (bundle(&journal, "one"), bundle(&journal, "other"));
    let (one, other) = tokio::join!(journal.commit(2, CALLS, &one), journal.commit(2, CALLS, &other));
    let seen = |stored, ours: &str| match stored {
        Stored::Ours => ours.to_owned(),
        Stored::Theirs(bundle) => author(&bundle),
    };
    let (one, other) = (seen(one.expect("stored"), "one"), seen(other.expect("stored"), "other"));
    assert_eq!(one, other, "both take what was put first");
    assert_eq!(read(&journal).await, Some(one));
    // The second generation is damaged too.
    change(&journal, &journal.keys.commit(2, 1), |bytes| bytes.truncate(60)).await;
    assert_eq!(read(&journal).await, None);
    journal.commit(2, CALLS, &bundle(&journal, "third")).await.expect("stored");
    assert_eq!(read(&journal).await.as_deref(), Some("third"));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_wrongly_once_is_read_again() {
    let journal = journal();
    journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
    let key = journal.keys.commit(2, 0);
    let right = journal.storage.get(&journal.bucket, &key).await.expect("it is there");
    change(&journal, &key, |bytes| bytes[70] ^= 4).await;
    let mending = async {
        sleep(PAUSE / 2).await;
        change(&journal, &key, |bytes| *bytes = right.to_vec()).await;
    };
    let (read, ()) = tokio::join!(read(&journal), mending);
    assert_eq!(read.as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn outcomes_of_other_calls_and_other_jobs_are_none_of_these() {
    let journal = journal();
    journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
    let bytes = journal.storage.get(&journal.bucket, &journal.keys.commit(2, 0)).await.expect("there");
    let key = journal.keys.commit(3, 0);
    journal.storage.put(&journal.bucket, &key, bytes, PutMode::Overwrite).await.expect("stored");
    assert!(journal.bundle(3, CALLS).await.expect("reads").is_none(), "it was stored as another chunk");
    let other = ChunkOutcomes {
        logs: Vec::new(),
        reports: failed_together(JobId::from_bytes([2; 16]), vec![CALLS], b"x").collect(),
    };
    journal.commit(4, CALLS, &other).await.expect("stored");
    assert!(journal.bundle(4, CALLS).await.expect("reads").is_none(), "they are another job's");
}

#[tokio::test]
async fn what_is_long_is_not_read_before_it_is_known_to_be_outcomes() {
    let journal = journal();
    let key = journal.keys.commit(2, 0);
    for junk in [vec![0; 65 << 20], [&b"lithops\x01"[..], &[7; 65 << 20]].concat()] {
        journal.storage.put(&journal.bucket, &key, junk.into(), PutMode::Overwrite).await.expect("stored");
        let error = journal.sealed_at(&key).await.expect_err("it is no bundle");
        assert!(is_damage(&error) && error.to_string().contains(&key), "{error}");
    }
    let body = vec![7; 65 << 20];
    let sealed = sealed::seal("a", body.into()).await;
    journal.storage.put(&journal.bucket, &key, sealed.clone(), PutMode::Overwrite).await.expect("stored");
    assert!(journal.sealed_at(&key).await.expect("reads").is_some_and(|read| read == sealed));
}

#[test]
fn only_names_as_they_are_written_count() {
    let standing = |names: &[&str]| standing(names.iter().copied()).collect::<Vec<_>>();
    let name = |number: u64| format!("{number:012}");
    assert_eq!(standing(&[&name(3), &name(7)]), [3, 7]);
    assert_eq!(
        standing(&["3", "+00000000003", "0000000000003", "000000000003x", "18446744073709551616"]),
        [0; 0]
    );
    let damaged = [name(3), format!("{}-0-damaged", name(3))];
    let damaged: Vec<_> = damaged.iter().map(String::as_str).collect();
    assert_eq!(standing(&damaged), [0; 0]);
    let next = format!("{}-1", name(3));
    assert_eq!(standing(&[&damaged[..], &[next.as_str()]].concat()), [3]);
    let again = format!("{}-1-damaged", name(3));
    assert_eq!(standing(&[&damaged[..], &[next.as_str(), again.as_str()]].concat()), [0; 0]);
    for odd in [
        "000000000003-0",
        "000000000003-01",
        "000000000003-4294967295-damaged",
        "000000000003-1-x",
        "000000000003-1-damaged-1",
    ] {
        assert_eq!(standing(&[odd]), [0; 0], "{odd}");
        assert_eq!(standing(&["000000000003", odd]), [3], "{odd}");
    }
}
