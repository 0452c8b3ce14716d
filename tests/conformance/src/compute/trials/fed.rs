//! Workers that can be fed.

use lithops_core::{
    compute::{ExitReason, FeedCommand},
    protocol::Cancel,
};

use super::super::{Subject, functions::*, subject::calls};

pub(in crate::compute) async fn a_fed_worker_takes_more_until_it_is_drained(subject: Subject) {
    let job = subject.job(square, 2);
    let mut running = subject.invoke(&job, 0, &[0, 1]).await;
    let feed = running.feed.clone().unwrap_or_else(|| panic!("its capabilities say that it feeds"));
    for first in [2, 4, 6] {
        running.report().await;
        let more = calls(&job, first, &[first, first + 1]);
        running.expect(more.run);
        feed.send(FeedCommand::Chunk(more));
    }
    running.report().await;
    // What is not to run any more is dropped without a word.
    let cancelled = calls(&job, 8, &[8, 9]);
    feed.send(FeedCommand::CancelCalls(Cancel { job: job.job, calls: vec![(8, 10)] }));
    feed.send(FeedCommand::Chunk(cancelled));
    let last = calls(&job, 10, &[10]);
    running.expect(last.run);
    feed.send(FeedCommand::Chunk(last));
    let heard = running.end().await;
    for call in (0..8).chain([10]) {
        assert_eq!(heard.value::<u64>(call), call * call);
    }
    assert_eq!(heard.outcomes.len(), 9, "what was cancelled is not reported");
    assert_eq!(heard.exit, Some(ExitReason::Finished));
}
