//! Worker granularity on real processes: how many calls run at once, in how many workers.

use std::{collections::BTreeSet, time::Duration};

use lithops::prelude::*;

lithops::test_worker!();

#[lithops::function]
fn nap(millis: u64) -> (u32, u32) {
    std::thread::sleep(Duration::from_millis(millis));
    (std::os::unix::process::parent_id(), std::process::id())
}

/// The most calls that ran at the same moment, by their own start and end.
fn most_at_once(futures: &FuturesList<(u32, u32)>) -> usize {
    let stats: Vec<_> = futures.iter().map(|future| future.stats().expect("ended")).collect();
    let running_at =
        |moment| stats.iter().filter(|call| call.started <= moment && moment < call.ended).count();
    stats.iter().map(|call| running_at(call.started)).max().unwrap_or(0)
}

#[tokio::test]
async fn at_most_worker_processes_calls_run_at_once_and_the_fifth_waits() {
    let fexec = FunctionExecutor::builder().worker_processes(4).build().await.expect("an executor");
    let futures = fexec.map(nap, [120; 12]).chunksize(12).await.expect("a job");
    let places = futures.get_result().await.expect("results");
    assert_eq!(
        most_at_once(&futures),
        4,
        "all four sub-workers are used, and no fifth call runs beside them"
    );
    let workers: BTreeSet<_> = places.iter().map(|(worker, _)| worker).collect();
    let sub_workers: BTreeSet<_> = places.iter().map(|(_, sub_worker)| sub_worker).collect();
    assert_eq!((workers.len(), sub_workers.len()), (1, 4), "one worker, four different processes");
    let mut starts: Vec<_> = futures.iter().map(|future| future.stats().expect("ended")).collect();
    starts.sort_by_key(|call| call.started);
    let first_end = starts.iter().map(|call| call.ended).min().expect("calls");
    assert!(starts[4].started >= first_end, "the fifth call begins when one of the first four has ended");
    assert!(
        starts.iter().all(|call| call.queued <= call.started && call.duration() >= Duration::from_millis(60))
    );
}

#[tokio::test]
async fn an_explicit_max_workers_starts_that_many() {
    let fexec =
        FunctionExecutor::builder().worker_processes(2).max_workers(3).build().await.expect("an executor");
    let futures = fexec.map(nap, [40; 18]).await.expect("a job");
    let places = futures.get_result().await.expect("results");
    let workers: BTreeSet<_> = places.iter().map(|(worker, _)| *worker).collect();
    assert_eq!(workers.len(), 3);
    for worker in workers {
        let sub_workers: BTreeSet<_> = places.iter().filter(|place| place.0 == worker).collect();
        assert!(sub_workers.len() <= 2, "{sub_workers:?}");
    }
    assert!(most_at_once(&futures) <= 6);
}

#[tokio::test]
async fn workers_are_warm_between_jobs() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let mut seen = BTreeSet::new();
    for _ in 0..5 {
        seen.extend(fexec.map(nap, [1; 8]).await.expect("a job").get_result().await.expect("results"));
    }
    assert!(seen.len() <= 2, "one worker and its two sub-workers serve every job: {seen:?}");
}

#[tokio::test]
async fn a_map_may_have_its_own_worker_processes() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    let narrow = fexec.map(nap, [20; 4]).await.expect("a job");
    narrow.get_result().await.expect("results");
    assert_eq!(most_at_once(&narrow), 1);
    let wide = fexec.map(nap, [120; 9]).worker_processes(3).await.expect("a job");
    wide.get_result().await.expect("results");
    assert_eq!((most_at_once(&wide), wide.plan().worker_processes()), (3, 3));
    let narrow = fexec.map(nap, [20; 4]).await.expect("a job");
    narrow.get_result().await.expect("results");
    assert_eq!(most_at_once(&narrow), 1, "and it holds for that map only");
}

#[lithops::function]
fn mostly_short(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

#[tokio::test]
async fn short_calls_do_not_wait_behind_a_long_one() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    // Thousands of trivial calls make batches large; then one call in the middle of a batch is long.
    let inputs = (0..6_000).map(|call| if call == 3_000 { 1_000 } else { 0 });
    let futures = fexec.map(mostly_short, inputs).await.expect("a job");
    futures.get_result().await.expect("results");
    let long = futures[3_000].stats().expect("ended");
    let late = futures.iter().filter(|future| future.stats().expect("ended").started >= long.ended).count();
    assert_eq!(late, 0, "calls that waited for the long one");
}

#[tokio::test]
async fn wait_returns_when_it_is_asked_to() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    let futures = fexec.map(mostly_short, [5, 5, 5, 60_000]).chunksize(1).await.expect("a job");
    let (done, open) = futures.wait().return_when(ReturnWhen::Percent(75)).await.expect("lists");
    assert_eq!((done.len(), open.len()), (3, 1));
    assert_eq!(open[0].call_id(), CallId::from(3));
    let (done, _) = futures.wait().timeout(Duration::from_millis(20)).await.expect("lists");
    assert_eq!(done.len(), 3, "a timeout returns what there is");
    let mut seen = BTreeSet::new();
    let mut completed = futures.as_completed();
    while seen.len() < 3 {
        let one = completed.next().await.expect("a call");
        assert_eq!(one.outcome().expect("a value"), 5);
        seen.insert(one.call_id());
    }
    futures.cancel().await.expect("cancelled");
    let last = completed.next().await.expect("the cancelled call");
    assert_eq!(last.outcome().expect_err("cancelled").kind(), &CallErrorKind::Cancelled);
    assert!(completed.next().await.is_none());
    // The sub-worker that slept is free again.
    assert_eq!(
        fexec.map(mostly_short, [1; 4]).await.expect("a job").get_result().await.expect("results"),
        [1; 4]
    );
}

#[tokio::test]
async fn concurrent_jobs_share_the_sub_workers() {
    let fexec = FunctionExecutor::builder().worker_processes(1).build().await.expect("an executor");
    let long = fexec.map(mostly_short, vec![10; 400]).await.expect("a job");
    long.wait().return_when(ReturnWhen::AnyCompleted).await.expect("lists");
    // It waits for its turn, not for the end of the other job.
    assert_eq!(fexec.call_async(mostly_short, 1).await.expect("a call").result().await.expect("a value"), 1);
    assert!(!long.progress().is_finished(), "{:?}", long.progress());
    let calls = (0..300).map(|number| {
        let fexec = fexec.clone();
        tokio::spawn(async move { fexec.call_async(mostly_short, number % 2).await?.result().await })
    });
    for (number, call) in calls.enumerate() {
        assert_eq!(call.await.expect("no panic").expect("a value"), number as u64 % 2);
    }
    long.cancel().await.expect("cancelled");
}
