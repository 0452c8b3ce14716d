//! A worker has the processes that it was asked for, and no more.

use std::collections::BTreeSet;

use lithops_core::compute::Granularity;

use super::super::{Subject, functions::*};

pub(in crate::compute) async fn calls_run_in_processes_of_their_own(subject: Subject) {
    let fexec = subject.executor(1).await;
    let futures = fexec.map(nap, vec![20; 8]).chunksize(8).await.unwrap_or_else(|error| panic!("{error:?}"));
    let places = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    let processes: BTreeSet<_> = places.iter().map(|place| place.process).collect();
    let parents: BTreeSet<_> = places.iter().map(|place| place.parent).collect();
    assert_eq!((processes.len(), parents.len()), (2, 1), "two sub-workers of one worker: {places:?}");
    // Numbers of processes mean something on one machine only.
    if subject.capabilities().granularity == Granularity::Local {
        assert!(!processes.contains(&std::process::id()), "a call ran in the client");
    }
    let reported: BTreeSet<_> = futures.iter().filter_map(|future| Some(future.stats()?.pid)).collect();
    assert_eq!(reported, processes, "the stats name the process that ran the call");
}

pub(in crate::compute) async fn no_more_calls_run_at_once_than_worker_processes(subject: Subject) {
    let (fexec, marks) = (subject.executor(1).await, subject.marks());
    // Two run and wait for one another, so that they certainly run at once; six wait in the worker.
    let futures = fexec.map(wait, vec![marks.folder(); 8]).chunksize(8).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    marks.wait_for("begun-", 2, subject.patience).await;
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    let mut moments = Vec::new();
    for stats in futures.iter().filter_map(|future| future.stats()) {
        moments.extend([(stats.started, 1), (stats.ended, -1)]);
    }
    assert_eq!(moments.len(), 16, "every call has its times");
    // An end comes before a start of the same moment.
    moments.sort_unstable();
    let running = moments.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    let most = running.max().unwrap_or(0);
    assert_eq!(most, 2, "calls that ran at once, where `worker_processes` is 2");
}
