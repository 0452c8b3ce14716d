//! Durable jobs: what is stored, what another client finds, and what is left behind.

use std::{collections::BTreeMap, fs, path::Path};

use lithops::prelude::*;

mod common;

lithops::test_worker!();

#[lithops::function]
#[expect(clippy::print_stdout, reason = "that it is kept is what is tested")]
fn square(x: u64) -> u64 {
    println!("squaring {x}");
    x * x
}

#[lithops::function]
fn odd_fails(x: u64) -> Result<u64, String> {
    if x % 2 == 1 { Err(format!("{x} is odd")) } else { Ok(x) }
}

#[lithops::function]
fn sum(id: CallId, x: u64, factor: Shared<u64>) -> u64 {
    std::env::var("ADDEND").map_or(0, |addend| addend.parse().expect("a number"))
        + x * *factor
        + u64::from(id)
}

#[lithops::function(at_most_once)]
fn once(x: u64) -> u64 {
    x
}

async fn executor(root: &Path) -> FunctionExecutor {
    FunctionExecutor::builder()
        .set("storage_root", root.to_str().expect("UTF-8"))
        .worker_processes(2)
        .build()
        .await
        .expect("an executor")
}

/// The stored objects by folder below the jobs' own, and how many there are.
fn stored(root: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let Ok(jobs) = fs::read_dir(root.join("storage/lithops.jobs")) else { return found };
    for job in jobs.flatten() {
        for entry in fs::read_dir(job.path()).expect("a folder").flatten() {
            let name = entry.file_name().into_string().expect("UTF-8");
            let count =
                if entry.path().is_dir() { fs::read_dir(entry.path()).expect("a folder").count() } else { 1 };
            *found.entry(name).or_default() += count;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_is_stored_whole_and_goes_with_its_last_handle() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let futures = fexec.map(square, 0..50).chunksize(8).durable().await.expect("a job");
    let results = futures.get_result().await.expect("results");
    assert_eq!(results, (0..50).map(|x| x * x).collect::<Vec<_>>());
    assert_eq!(futures[7].logs().await.expect("logs"), "squaring 7\n");
    let found = stored(root.path());
    assert_eq!((found["record"], found["commit"]), (1, 7), "{found:?}");
    drop(futures);
    drop(fexec);
    assert_eq!(stored(root.path()), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_client_finds_everything_outcomes_and_logs_and_failures() {
    let root = tempfile::tempdir().expect("a folder");
    let first = executor(root.path()).await;
    let futures = first.map(odd_fails, 0..20).chunksize(3).detach().await.expect("a job");
    let job = futures.job_id();
    futures.wait().await.expect("waits");
    drop(futures);
    drop(first);

    let second = executor(root.path()).await;
    let again = second.attach::<u64>(job).await.expect("attaches");
    let outcomes = again.outcomes().await.expect("outcomes");
    for (x, outcome) in (0..20).zip(outcomes) {
        match outcome {
            Ok(value) => assert!(value == x && x % 2 == 0),
            Err(error) => assert_eq!(error.message(), format!("{x} is odd")),
        }
    }
    assert_eq!(again.progress().restored, 20, "nothing was run again");
    drop(again);
    drop(second);
    assert_eq!(stored(root.path()), BTreeMap::new(), "whoever has fetched it removes it");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_failures_in_a_chunk_do_not_keep_it_from_being_stored() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let futures = fexec.map(odd_fails, 0..30).chunksize(7).retries(2).durable().await.expect("a job");
    let outcomes = futures.outcomes().await.expect("outcomes");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 15);
    let attempts = |outcome: &Result<u64, CallError>| outcome.as_ref().err().map(CallError::attempts);
    assert_eq!(attempts(&outcomes[1]), Some(3));
    assert_eq!(stored(root.path())["commit"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_durable_job_is_committed_as_cancelled() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let futures = fexec.map(endless, 0..10).chunksize(4).durable().await.expect("a job");
    futures.cancel().await.expect("cancels");
    let outcomes = futures.outcomes().await.expect("outcomes");
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.as_ref().is_err_and(|error| *error.kind() == CallErrorKind::Cancelled))
    );
    assert_eq!(stored(root.path())["commit"], 3);
    // Other programs see that it was not finished but cancelled, for as long as it is stored.
    common::wait_for("the mark", || stored(root.path()).contains_key("cancel"));
}

#[lithops::function]
fn endless(_: u64) {
    loop {
        std::thread::park();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_values_and_the_names_but_not_the_values_of_variables_are_stored() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let futures =
        fexec.map(sum, 0..6).shared(10).extra_env([("ADDEND", "987654321")]).durable().await.expect("a job");
    let results = futures.get_result().await.expect("results");
    assert_eq!(results, (0..6).map(|x| 987_654_321 + 11 * x).collect::<Vec<_>>());
    let mut found = 0;
    for file in walk(root.path()) {
        // The client that drives the job writes its beat anew now and then.
        let Ok(content) = fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&content);
        found += usize::from(text.contains("ADDEND"));
        assert!(!text.contains("987654321"), "{}", file.display());
    }
    assert_eq!(found, 1, "the record has the name");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_job_without_calls_is_finished() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let futures = fexec.map(square, Vec::new()).durable().await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), [0u64; 0]);
    drop(futures);
    drop(fexec);
    assert_eq!(stored(root.path()), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_job_cannot_be_attached_to_and_the_error_says_why() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let futures = fexec.map(square, 0..3).await.expect("a job");
    let error = fexec.attach::<u64>(futures.job_id()).await.expect_err("nothing is stored");
    assert_eq!(error.kind(), lithops::ErrorKind::NotDurable);
    assert!(error.to_string().contains(".durable()"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_durable_is_refused_with_the_reason() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let error = fexec.map(once, 0..3).durable().await.expect_err("at most once");
    assert!(error.to_string().contains("at most once"), "{error}");
    let error = fexec.map(once, 0..3).speculate(true).await.expect_err("at most once");
    assert!(error.to_string().contains("speculate"), "{error}");
    let policy = RetryPolicy::new(1).when(|_| true);
    let error = fexec.map(square, 0..3).retries(policy).durable().await.expect_err("a function");
    assert!(error.to_string().contains("when"), "{error}");
    let memory = FunctionExecutor::builder().storage("memory").build().await.expect("an executor");
    let error = memory.map(square, 0..3).durable().await.expect_err("memory");
    assert!(error.to_string().contains("memory"), "{error}");
    assert_eq!(stored(root.path()), BTreeMap::new(), "nothing is left of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_fail_leave_nothing_behind() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = executor(root.path()).await;
    let inputs = (0..100u64).inspect(|x| assert!(*x < 60, "no more"));
    let error = fexec.map(square, inputs).durable().await.expect_err("the iterator panics");
    assert!(error.to_string().contains("no more"), "{error}");
    assert_eq!(stored(root.path()), BTreeMap::new());
}
