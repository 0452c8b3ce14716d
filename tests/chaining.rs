//! One job's outcomes as another's inputs; single calls that are cancelled; events.

use lithops::prelude::*;

lithops::test_worker!();

#[lithops::function]
fn add_one(x: u64) -> u64 {
    x + 1
}

#[lithops::function]
fn halve(x: u64) -> Result<u64, String> {
    if x.is_multiple_of(2) { Ok(x / 2) } else { Err(format!("{x} is odd")) }
}

#[lithops::function]
fn pair(x: u64) -> (u64, String) {
    (x, x.to_string())
}

#[lithops::function]
fn join(x: u64, text: String) -> String {
    format!("{x}={text}")
}

#[lithops::function]
fn wait_if_zero(x: u64) -> u64 {
    if x > 0 {
        return x;
    }
    loop {
        std::thread::park();
    }
}

async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor")
}

#[tokio::test(flavor = "multi_thread")]
async fn values_go_from_job_to_job_in_order() {
    let fexec = executor().await;
    let first = fexec.map(add_one, 0..1000).await.expect("a job");
    let second = fexec.map(add_one, &first).await.expect("a job");
    let third = fexec.map(add_one, second).await.expect("a job");
    assert_eq!(third.get_result().await.expect("results"), (3..1003).collect::<Vec<_>>());
    let pairs = fexec.map(pair, 0..5).await.expect("a job");
    let joined = fexec.map(join, pairs).await.expect("a job").get_result().await.expect("results");
    assert_eq!(joined, ["0=0", "1=1", "2=2", "3=3", "4=4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_input_failed_fails_for_that_reason_and_the_others_go_on() {
    let fexec = executor().await;
    let halves = fexec.map(halve, 0..10).await.expect("a job");
    let more = fexec.map(add_one, &halves).retries(3).await.expect("a job");
    let outcomes = more.outcomes().await.expect("outcomes");
    for (x, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(value) => assert_eq!(value, x as u64 / 2 + 1),
            Err(error) => {
                assert_eq!((error.kind(), x % 2), (&CallErrorKind::Failed, 1));
                assert!(
                    error.message().contains("its input failed") && error.message().contains("is odd"),
                    "{error}"
                );
            }
        }
    }
    let reduced = fexec.map(halve, [2u64, 4]).await.expect("a job");
    let durable = fexec.map(halve, reduced).durable().await.expect("a job");
    let outcomes = durable.outcomes().await.expect("outcomes");
    assert!(outcomes[0].as_ref().is_err_and(|error| error.message() == "1 is odd") && outcomes[1] == Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_may_have_inputs_that_failed() {
    let fexec = executor().await;
    let halves = fexec.map(halve, 0..9).await.expect("a job");
    let more = fexec.map(add_one, &halves).chunksize(4).durable().await.expect("a job");
    let outcomes = more.outcomes().await.expect("outcomes");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_is_cancelled_and_the_others_are_not() {
    let fexec = executor().await;
    let futures = fexec.map(wait_if_zero, [1, 0, 2, 0, 3, 4]).await.expect("a job");
    futures[1].cancel().await.expect("cancels");
    futures[3].cancel().await.expect("cancels");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let values: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(values, [&1, &2, &3, &4]);
    for index in [1, 3] {
        let error = outcomes[index].as_ref().expect_err("cancelled");
        assert_eq!(error.kind(), &CallErrorKind::Cancelled);
    }
    futures[0].cancel().await.expect("what has ended stays as it is");
    assert_eq!(futures[0].result().await.expect("a value"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_call_is_cancelled_alone() {
    let fexec = executor().await;
    let futures = fexec.map(wait_if_zero, [1, 0, 2, 5, 3, 4]).chunksize(3).durable().await.expect("a job");
    futures[1].cancel().await.expect("cancels");
    let outcomes = futures.outcomes().await.expect("outcomes");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_story_of_a_job() {
    use lithops::JobEvent;

    let fexec = executor().await;
    let mut events = fexec.events();
    let futures = fexec.map(halve, 0..8).retries(RetryPolicy::new(1)).await.expect("a job");
    let job = futures.job_id();
    futures.wait().await.expect("waits");
    let (mut started, mut retried, mut done) = (0, 0, 0);
    while let Some(event) = events.next().await {
        assert_eq!(event.job(), job);
        match event {
            JobEvent::Started { function, calls, .. } => {
                started += 1;
                assert!(function.ends_with("halve") && calls == Some(8));
            }
            JobEvent::Retried { first, end, .. } => retried += end - first,
            JobEvent::Done { progress, .. } => done = progress.done,
            JobEvent::Finished { progress, .. } => {
                assert_eq!((progress.done, progress.failed), (8, 4));
                break;
            }
            _ => {}
        }
    }
    assert_eq!((started, retried, done), (1, 4, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_straggler_gets_a_second_attempt_and_the_first_success_counts() {
    let fexec =
        FunctionExecutor::builder().worker_processes(2).max_workers(2).build().await.expect("an executor");
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("tried").to_str().expect("UTF-8").to_owned();
    let inputs = (0..20).map(move |x: u64| (x, place.clone()));
    let futures = fexec.map(slow_the_first_time, inputs).speculate(true).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), (0..20).collect::<Vec<_>>());
    assert!(futures.progress().speculated >= 1);
}

/// Call 7 hangs when it is tried for the first time.
#[lithops::function]
fn slow_the_first_time(x: u64, place: String) -> u64 {
    if x == 7 && std::fs::File::create_new(&place).is_ok() {
        loop {
            std::thread::park();
        }
    }
    x
}
