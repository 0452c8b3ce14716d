//! Trials of several writers at once.

use futures_util::TryStreamExt;
use lithops_core::{bytes::Bytes, error::ErrorKind, storage::PutMode};

use super::subject::Subject;

pub(super) async fn if_absent_lets_exactly_one_writer_win(subject: Subject) {
    for round in 0..8 {
        let key = format!("claims/{round}/1");
        let writers = (0..32u8).map(|writer| {
            let (subject, key) = (subject.clone(), key.clone());
            tokio::spawn(async move {
                (writer, subject.try_put(&key, vec![writer; 1000], PutMode::IfAbsent).await)
            })
        });
        let mut winners = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("it ended") {
                (writer, Ok(())) => winners.push(writer),
                (_, Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
                    assert!(
                        error.to_string().contains(&subject.key(&key)),
                        "the message names the key: {error}"
                    );
                }
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(*subject.get(&key).await.expect("it was put"), *vec![winners[0]; 1000]);
    }
    assert_eq!(subject.keys("").await.len(), 8);
}

pub(super) async fn readers_see_the_whole_of_an_object_or_nothing(subject: Subject) {
    let len = 200_000;
    let writer = {
        let subject = subject.clone();
        tokio::spawn(async move {
            for round in 0..40u8 {
                subject.put("key", vec![round; len]).await;
            }
        })
    };
    while !writer.is_finished() {
        match subject.get("key").await {
            Ok(read) => assert!(read.len() == len && read.iter().all(|byte| *byte == read[0]), "a mixture"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
        }
    }
    writer.await.expect("it ended");
    assert_eq!(subject.get("key").await.expect("it was put"), Bytes::from(vec![39; len]));
}

pub(super) async fn puts_and_deletes_in_one_folder_do_not_disturb_each_other(subject: Subject) {
    let workers = (0..8).map(|worker| {
        let subject = subject.clone();
        tokio::spawn(async move {
            for round in 0..30 {
                let key = format!("deep/er/folder/{worker}");
                subject.try_put(&key, format!("{round}"), PutMode::IfAbsent).await.expect("it is absent");
                let listing = subject.storage.list(&subject.bucket, &subject.key("deep/"));
                listing.try_collect::<Vec<_>>().await.expect("a listing");
                assert_eq!(*subject.get(&key).await.expect("it was put"), *format!("{round}").as_bytes());
                subject.storage.delete(&subject.bucket, &subject.key(&key)).await.expect("it is deleted");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("it ended");
    }
    assert_eq!(subject.keys("").await, [""; 0]);
}
