//! What `invoke` does with the calls it is given.

use std::collections::BTreeSet;

use lithops_core::{
    compute::{ExitReason, Reports},
    id::ActivationId,
    protocol::Tag,
};

use super::{
    super::{Subject, functions::*},
    limits::SHORT,
};

pub(in crate::compute) async fn every_call_is_reported_and_reported_once(subject: Subject) {
    let job = subject.job(square, 2);
    let inputs: Vec<u64> = (0..40).collect();
    let mut running = subject.invoke(&job, 7, &inputs).await;
    let heard = running.end().await;
    for (call, x) in (7..).zip(&inputs) {
        assert_eq!(heard.value::<u64>(call), x * x);
    }
    assert_eq!(heard.outcomes.len(), inputs.len(), "calls that nobody has handed over");
    assert_eq!(heard.exit, Some(ExitReason::Finished));
}

pub(in crate::compute) async fn a_call_runs_once_when_nothing_goes_wrong(subject: Subject) {
    let (fexec, marks) = (subject.executor(1).await, subject.marks());
    let futures = fexec.map(wait, vec![marks.folder(); 8]).chunksize(4).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    let begun = marks.wait_for("begun-", 8, subject.patience).await;
    assert_eq!(begun.len(), 8, "calls were begun more than once: {begun:?}");
}

pub(in crate::compute) async fn events_name_their_activation(subject: Subject) {
    let job = subject.job(square, 2);
    let mut running = subject.invoke(&job, 3, &[1, 2, 3]).await;
    let heard = running.end().await;
    let named: BTreeSet<_> = heard.activations.iter().copied().collect();
    assert_eq!(named, BTreeSet::from([ActivationId(1003)]), "started and reported");
    for report in &heard.reports {
        let run = report.header.run;
        assert_eq!((run.job, run.activation, run.attempt), (job.job, ActivationId(1003), 1));
    }
}

pub(in crate::compute) async fn reports_come_as_declared(subject: Subject) {
    let (job, marks) = (subject.job(wait_but_first, 2), subject.marks());
    let mut running = subject.invoke(&job, 0, &vec![marks.folder(); 3]).await;
    let streams =
        subject.capabilities().reports == Reports::Streamed && subject.capabilities().pull.is_none();
    // Where reports are streamed that of the first comes while the others wait.
    while streams && running.heard.reports.is_empty() && running.next().await {}
    if !streams {
        marks.wait_for("first", 1, subject.patience).await;
        // With others that have ended after it, if they are buffered: it is not long before they could.
        tokio::time::timeout(std::time::Duration::from_millis(300), running.report()).await.ok();
        assert!(running.heard.reports.is_empty(), "a report came although the others wait still");
    }
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    let heard = running.end().await;
    assert_eq!([0, 1, 2].map(|call| heard.value::<u64>(call)), [0, 1, 2]);
}

pub(in crate::compute) async fn dropping_an_invocation_does_not_cancel_it(subject: Subject) {
    let (job, marks) = (subject.job(wait, 2), subject.marks());
    let running = subject.invoke(&job, 0, &vec![marks.folder(); 4]).await;
    marks.wait_for("begun-", 1, subject.patience).await;
    // The channel down is kept, where there is one: it is how a worker is let go.
    let feed = running.feed.clone();
    drop(running);
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    marks.wait_for("begun-", 4, subject.patience).await;
    drop(feed);
}

/// A chunk that takes twice as long as an activation may.
pub(in crate::compute) async fn calls_past_the_deadline_come_back_unstarted(subject: Subject) {
    let limit = subject.capabilities().timeout_limit.unwrap_or(SHORT);
    let each = limit / 10;
    let inputs = vec![u64::try_from(each.as_millis()).unwrap_or(u64::MAX); 40];
    let job = subject.job(nap, 2);
    let mut running = subject.invoke(&job, 0, &inputs).await;
    let heard = running.end().await;
    let tags: Vec<_> = (0..40).map(|call| heard.outcomes.get(&call).map(Vec::as_slice)).collect();
    let is = |outcome: &Option<&[(Tag, Vec<u8>)]>, wanted: Tag| matches!(outcome, Some([(tag, _)]) if *tag == wanted);
    let count = |wanted: Tag| tags.iter().filter(|outcome| is(outcome, wanted)).count();
    // Those that ran when the time was over were begun.
    let (done, back, cut) = (count(Tag::Ok), count(Tag::Unstarted), count(Tag::Lost));
    let all = done > 0 && back > 0 && cut <= 2 && done + back + cut == 40;
    assert!(all, "{done} were done, {back} came back and {cut} were cut short of 40");
    assert_eq!(heard.exit, Some(ExitReason::Finished));
}
