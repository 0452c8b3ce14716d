//! How calls end that do not end well, and what they have printed.

use std::time::Duration;

use lithops_core::{error::CallErrorKind, executor::RetryPolicy};

use super::super::{Subject, functions::*};

pub(in crate::compute) async fn what_a_call_prints_is_its_own(subject: Subject) {
    let fexec = subject.executor(1).await;
    let inputs: Vec<u64> = (0..24).map(|call| call % 5).collect();
    let futures = fexec.map(print, inputs.clone()).chunksize(24).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    futures.outcomes().await.unwrap_or_else(|error| panic!("{error:?}"));
    for (call, lines) in inputs.into_iter().enumerate() {
        let log = futures[call].logs().await.unwrap_or_else(|error| panic!("{error:?}"));
        let line = |line| format!("call {call} prints line {line}\ncall {call} complains in line {line}\n");
        assert_eq!(log, (0..lines).map(line).collect::<String>(), "the log of call {call}");
    }
}

pub(in crate::compute) async fn a_call_that_exits_or_dies_fails_alone(subject: Subject) {
    let fexec = subject.executor(1).await;
    let ends = [3, -11, 0, -6];
    let futures =
        fexec.map(end, ends.to_vec()).chunksize(4).await.unwrap_or_else(|error| panic!("{error:?}"));
    let others = fexec.map(square, 0..20).chunksize(10).await.unwrap_or_else(|error| panic!("{error:?}"));
    let outcomes = futures.outcomes().await.unwrap_or_else(|error| panic!("{error:?}"));
    for (how, outcome) in ends.into_iter().zip(outcomes) {
        let error = outcome.err().unwrap_or_else(|| panic!("its process has ended"));
        let expected = if how < 0 {
            CallErrorKind::Crashed { signal: Some(-how), exit_code: None }
        } else {
            CallErrorKind::Crashed { signal: None, exit_code: Some(how) }
        };
        assert_eq!(*error.kind(), expected, "{error}");
    }
    let others = others.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(others, (0..20).map(|x| x * x).collect::<Vec<u64>>());
}

pub(in crate::compute) async fn a_call_that_is_killed_is_tried_again(subject: Subject) {
    let (fexec, marks) = (subject.executor(1).await, subject.marks());
    let futures = fexec.map(end_once, vec![marks.folder(); 4]).chunksize(4).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    let results = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(results, [0, 1, 2, 3]);
}

pub(in crate::compute) async fn a_call_past_its_timeout_fails_alone(subject: Subject) {
    let fexec = subject.executor(1).await;
    let naps = vec![0, 3_600_000, 0, 0];
    let futures = fexec.map(nap, naps).chunksize(4).timeout(Duration::from_secs(2)).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    let outcomes = futures.outcomes().await.unwrap_or_else(|error| panic!("{error:?}"));
    for (call, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(place) => assert!(call != 1 && place.call == call as u64),
            Err(error) => assert_eq!((call, error.kind()), (1, &CallErrorKind::TimedOut), "{error}"),
        }
    }
}

pub(in crate::compute) async fn a_lost_worker_loses_no_call(subject: Subject) {
    let (fexec, marks) = (subject.executor(2).await, subject.marks());
    let inputs = (0..12).map(|_| (marks.folder(), 5u64)).collect::<Vec<_>>();
    let futures = fexec.map(end_worker, inputs).chunksize(4).retries(RetryPolicy::new(0)).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    let results = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(results, (0..12).collect::<Vec<u64>>());
    assert!(marks.has("ended").await.unwrap_or(false), "a worker was ended");
}
