//! Outcomes of calls, by every way that they can take.

use lithops_core::error::CallErrorKind;

use super::super::{Subject, functions::*};

pub(in crate::compute) async fn results_come_back_in_order(subject: Subject) {
    let fexec = subject.executor(2).await;
    let futures = fexec.map(square, 0..100).chunksize(8).await.unwrap_or_else(|error| panic!("{error:?}"));
    let results = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(results, (0..100).map(|x| x * x).collect::<Vec<u64>>());
    assert_eq!(futures.plan().workers(), 13, "100 calls in chunks of 8");
    // Given once for all of them.
    let futures = fexec.map(with_shared, 0..10).shared(vec![1; 5000].into()).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    let results = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(results, (5000..5010).collect::<Vec<u64>>());
    let none = fexec.map(square, Vec::new()).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(none.get_result().await.unwrap_or_else(|error| panic!("{error:?}")).is_empty());
}

pub(in crate::compute) async fn failures_and_panics_come_back_as_they_are(subject: Subject) {
    let fexec = subject.executor(2).await;
    let inputs = ["1", "x", "2", "panic", "3"].map(str::to_owned);
    let futures = fexec.map(parse, inputs.to_vec()).chunksize(5).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    let outcomes = futures.outcomes().await.unwrap_or_else(|error| panic!("{error:?}"));
    let values: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert_eq!(values, [Some(1), None, Some(2), None, Some(3)]);
    let failed = outcomes[1].as_ref().err().unwrap_or_else(|| panic!("it failed"));
    assert_eq!((failed.kind(), failed.message()), (&CallErrorKind::Failed, "the text is no number"));
    let chain: Vec<_> = failed.chain().iter().map(ToString::to_string).collect();
    assert_eq!(chain, ["invalid digit found in string"], "the chain of causes");
    let panicked = outcomes[3].as_ref().err().unwrap_or_else(|| panic!("it panicked"));
    assert_eq!(*panicked.kind(), CallErrorKind::Panicked);
    assert!(panicked.message().contains("it was asked to"), "{panicked:?}");
}

pub(in crate::compute) async fn many_chunks_are_done_by_few_workers(subject: Subject) {
    let fexec = subject.executor(2).await;
    let futures = fexec.map(place, 0..60).chunksize(3).await.unwrap_or_else(|error| panic!("{error:?}"));
    let places = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    let calls: Vec<_> = places.iter().map(|place| place.call).collect();
    assert_eq!(calls, (0..60).collect::<Vec<_>>(), "each call knows its number");
}
