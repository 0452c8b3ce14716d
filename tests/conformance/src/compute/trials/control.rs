//! Cancelling.

use lithops_core::{
    compute::{CancelLevel, Capabilities, FeedCommand},
    error::CallErrorKind,
    protocol::Cancel,
};

use super::super::{Subject, functions::*, subject::calls};

pub(in crate::compute) fn can_cancel(capabilities: &Capabilities) -> bool {
    capabilities.cancel != CancelLevel::None
}

/// What runs for ever is in the way of everything else, until it is cancelled.
pub(in crate::compute) async fn cancel_ends_what_runs(subject: Subject) {
    let capabilities = subject.capabilities();
    if capabilities.pull.is_none() && capabilities.feed && capabilities.cancel == CancelLevel::Call {
        cancelled_calls_make_room(&subject).await;
    }
    if capabilities.pull.is_none() {
        a_cancelled_invocation_ends(&subject).await;
    }
    let (fexec, marks) = (subject.executor(1).await, subject.marks());
    let futures = fexec.map(wait, vec![marks.folder(); 4]).chunksize(4).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    marks.wait_for("begun-", 2, subject.patience).await;
    futures.cancel().await.unwrap_or_else(|error| panic!("{error:?}"));
    for outcome in futures.outcomes().await.unwrap_or_else(|error| panic!("{error:?}")) {
        let kind = outcome.err().map(|error| error.kind().clone());
        assert_eq!(kind, Some(CallErrorKind::Cancelled));
    }
    // There is one worker with two places, and both are free again.
    let futures = fexec.map(square, 0..4).chunksize(4).await.unwrap_or_else(|error| panic!("{error:?}"));
    let done = tokio::time::timeout(subject.patience, futures.get_result()).await;
    let done = done.unwrap_or_else(|_| panic!("what was cancelled is in the way still"));
    assert_eq!(done.unwrap_or_else(|error| panic!("{error:?}")), [0, 1, 4, 9]);
}

async fn cancelled_calls_make_room(subject: &Subject) {
    let (job, marks) = (subject.job(wait, 2), subject.marks());
    let folders = vec![marks.folder(); 4];
    let mut running = subject.invoke(&job, 0, &folders).await;
    marks.wait_for("begun-", 2, subject.patience).await;
    let feed = running.feed.clone().unwrap_or_else(|| panic!("its capabilities say that it feeds"));
    feed.send(FeedCommand::CancelCalls(Cancel { job: job.job, calls: vec![(0, 4)] }));
    feed.send(FeedCommand::Chunk(calls(&job, 4, &folders[..1])));
    marks.wait_for("begun-4-", 1, subject.patience).await;
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    feed.send(FeedCommand::Drain);
    while running.next().await {}
    assert!(running.heard.exit.is_some());
}

async fn a_cancelled_invocation_ends(subject: &Subject) {
    let (job, marks) = (subject.job(wait, 2), subject.marks());
    let mut running = subject.invoke(&job, 0, &vec![marks.folder(); 4]).await;
    marks.wait_for("begun-", 2, subject.patience).await;
    subject.backend.cancel(&running.id).await.unwrap_or_else(|error| panic!("{error:?}"));
    if let Some(feed) = running.feed.clone() {
        // Those two have ended when that is reported, or when the whole invocation has.
        while running.heard.outcomes.len() < 2 && running.next().await {}
        feed.send(FeedCommand::Drain);
    }
    while running.next().await {}
    assert!(running.heard.exit.is_some(), "its events end with an exit event");
    // A backend that nobody feeds may say that it has ended before its processes have: other calls that take their time
    // end later than these. What went on all the same ends when it is let go: sooner than the next ones.
    let naps = subject.job(nap, 2);
    subject.invoke(&naps, 0, &[200, 200]).await.end().await;
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    let naps = subject.job(nap, 2);
    subject.invoke(&naps, 0, &[200, 200]).await.end().await;
    let all = marks.all().await.unwrap_or_else(|error| panic!("{error:?}"));
    let ended: Vec<_> = all.iter().filter(|name| name.starts_with("ended-")).collect();
    assert!(ended.is_empty(), "calls of a cancelled invocation went on to their end: {ended:?}");
}

pub(in crate::compute) async fn cancelling_what_has_ended_is_no_error(subject: Subject) {
    let job = subject.job(square, 2);
    let mut running = subject.invoke(&job, 0, &[1, 2]).await;
    running.end().await;
    for _ in 0..2 {
        subject.backend.cancel(&running.id).await.unwrap_or_else(|error| panic!("{error:?}"));
    }
}
