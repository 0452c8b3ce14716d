//! Values that are too large for a message of the backend: they go through the storage, once, and are checked.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use lithops::{Bytes, ErrorKind, prelude::*};

lithops::test_worker!();

/// The most bytes of a message of the localhost of these tests.
const LIMIT: usize = 100_000;
const LARGE: usize = 300_000;

fn content(seed: u64, len: usize) -> Bytes {
    (0..len as u64).map(|at| (at.wrapping_mul(seed + 7) >> 3) as u8).collect::<Vec<_>>().into()
}

/// Turns the bytes round, so that neither side can have kept what it has.
#[lithops::function]
fn reversed(bytes: Bytes) -> Bytes {
    bytes.iter().rev().copied().collect::<Vec<_>>().into()
}

#[lithops::function]
fn small_of(bytes: Bytes) -> u64 {
    bytes.len() as u64
}

#[lithops::function]
fn large_of(len: u64) -> Bytes {
    content(len, usize::try_from(len).expect("small"))
}

#[lithops::function]
fn joined(parts: Vec<Bytes>) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

#[lithops::function]
fn fails_twice(context: CallContext, bytes: Bytes) -> Result<u64, String> {
    if context.attempt() < 3 { Err("not yet".to_owned()) } else { Ok(bytes.len() as u64) }
}

#[lithops::function]
fn shares(x: u64, table: Shared<Bytes>, more: Shared<Vec<u64>>) -> u64 {
    table.len() as u64 + more.iter().sum::<u64>() + x
}

/// Changes what is stored of its own job, and fails: it is read again then.
#[lithops::function]
fn spoils(root: PathBuf, _: Bytes) -> Result<(), String> {
    for path in payload_store(&root) {
        let mut bytes = fs::read(&path).expect("a parcel");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
    }
    Err("it is to be tried again".to_owned())
}

/// Goes on once it is allowed to.
#[lithops::function]
fn waits(folder: PathBuf, bytes: Bytes) -> u64 {
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    bytes.len() as u64
}

async fn limited(root: &Path, more: &str) -> FunctionExecutor {
    let yaml = format!(
        "localhost: {{storage_root: '{}', worker_processes: 2, capabilities: {{payload_limit: {LIMIT}}}}}\n{more}",
        root.display()
    );
    FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor")
}

fn payload_store(root: &Path) -> Vec<PathBuf> {
    let jobs = fs::read_dir(root.join("storage/lithops.jobs")).into_iter().flatten().flatten();
    let entries =
        jobs.flat_map(|job| fs::read_dir(job.path().join("parcel")).into_iter().flatten().flatten());
    entries.map(|entry| entry.path()).collect()
}

fn jobs(root: &Path) -> usize {
    fs::read_dir(root.join("storage/lithops.jobs")).into_iter().flatten().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_arguments_and_outcomes_come_back_as_they_were_and_leave_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "").await;
    let inputs: Vec<_> = (0..24).map(|seed| content(seed, LARGE)).collect();
    let futures = fexec.map(reversed, inputs.clone()).chunksize(4).await.expect("a job");
    let results = futures.get_result().await.expect("results");
    for (input, result) in inputs.iter().zip(results) {
        assert!(input.iter().rev().eq(result.iter()));
    }
    // One after the other, and of all sizes around the limit.
    for len in [LIMIT - 200, LIMIT - 16, LIMIT, LIMIT + 1, 5 << 20, 0] {
        let length = fexec.call_async(small_of, content(1, len)).await.expect("a call").result().await;
        assert_eq!(length.expect("a result"), len as u64);
        let bytes = fexec.call_async(large_of, len as u64).await.expect("a call").result().await;
        assert_eq!(*bytes.expect("a result"), *content(len as u64, len));
    }
    let total = fexec.map_reduce(large_of, vec![LARGE as u64; 5], joined).await.expect("a job");
    assert_eq!(total.result().await.expect("a result"), 5 * LARGE as u64);
    drop(fexec);
    assert_eq!(jobs(root.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_is_not_stored_again() {
    let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let fexec = limited(root.path(), "").await;
    let inputs: Vec<_> = (0..6).map(|seed| content(seed, LARGE)).collect();
    let futures = fexec.map(fails_twice, inputs.clone()).chunksize(6).retries(2).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), [LARGE as u64; 6]);

    // While calls run it can be seen what is stored: the arguments, each once. How many are stored at a time depends on
    // how far the inputs are ahead.
    let both: Vec<_> = inputs.into_iter().map(|bytes| (folder.path().to_owned(), bytes)).collect();
    let futures = fexec.map(waits, both).chunksize(6).await.expect("a job");
    let stored = || {
        payload_store(root.path()).iter().map(|path| fs::metadata(path).map_or(0, |of| of.len())).sum::<u64>()
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while stored() < LARGE as u64 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("they are stored");
    fs::write(folder.path().join("go"), "").expect("written");
    assert_eq!(futures.get_result().await.expect("results"), [LARGE as u64; 6]);
    assert!(stored() < 6 * LARGE as u64 + 10_000, "{} bytes", stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_shared_values_go_through_the_storage() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "").await;
    let shared = (content(3, 9 << 20), vec![1, 2, 3]);
    let expected: Vec<_> = (0..20).map(|x| (9 << 20) + 6 + x).collect();
    let futures = fexec.map(shares, 0..20u64).shared(shared.clone()).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), expected);
    let futures = fexec.map(shares, 0..20u64).shared(shared).durable().await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), expected);
    drop((futures, fexec));
    assert_eq!(jobs(root.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_jobs_store_what_a_message_cannot_hold() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "").await;
    let inputs: Vec<_> = (0..8).map(|seed| content(seed, LARGE)).collect();
    let futures = fexec.map(reversed, inputs.clone()).chunksize(3).durable().await.expect("a job");
    for (input, result) in inputs.iter().zip(futures.get_result().await.expect("results")) {
        assert!(input.iter().rev().eq(result.iter()));
    }
    drop((futures, fexec));
    assert_eq!(jobs(root.path()), 0);
}

/// Cancelled before its arguments have come to the worker: the rest of its chunk is committed all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_while_its_arguments_travel_holds_up_no_other() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "").await;
    let inputs: Vec<_> = (0..8).map(|seed| content(seed, LARGE)).collect();
    for _ in 0..5 {
        let futures = fexec.map(small_of, inputs.clone()).chunksize(4).durable().await.expect("a job");
        futures[1].cancel().await.expect("cancels");
        futures[6].cancel().await.expect("cancels");
        let outcomes = tokio::time::timeout(Duration::from_secs(60), futures.outcomes()).await;
        for (call, outcome) in outcomes.expect("it ends").expect("outcomes").into_iter().enumerate() {
            match outcome {
                Ok(len) => assert_eq!(len, LARGE as u64),
                Err(error) => {
                    assert!([1, 6].contains(&call) && *error.kind() == CallErrorKind::Cancelled, "{error}");
                }
            }
        }
    }
}

/// Together they are too large for a message, although each would fit.
#[tokio::test(flavor = "multi_thread")]
async fn shared_values_and_arguments_share_a_message() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "").await;
    let shared = (content(3, LIMIT / 2 - 2000), vec![1, 2, 3]);
    let futures = fexec.map(shares, 0..20u64).shared(shared.clone()).await.expect("a job");
    let len = shared.0.len() as u64;
    assert_eq!(
        futures.get_result().await.expect("results"),
        (0..20).map(|x| len + 6 + x).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_meanwhile_is_not_used() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "").await;
    let input = (root.path().to_owned(), content(1, LARGE));
    let futures = fexec.map(spoils, vec![input]).retries(5).await.expect("a job");
    let error = futures.outcomes().await.expect("outcomes").remove(0).expect_err("it was changed");
    assert_eq!(*error.kind(), CallErrorKind::WorkerLost, "{error}");
    assert!(error.to_string().contains("its arguments cannot be read from the storage"), "{error}");
    assert!(error.to_string().contains("is not what was stored"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_workers_cannot_reach_is_told_of() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = limited(root.path(), "lithops: {storage: memory}").await;
    let small = fexec.map(small_of, vec![content(1, 10)]).await.expect("a job");
    assert_eq!(small.get_result().await.expect("a result"), [10]);
    let futures = fexec.map(small_of, vec![content(1, LARGE)]).await.expect("a job");
    let error = futures.get_result().await.expect_err("no way");
    assert_eq!(error.kind(), ErrorKind::PayloadTooLarge);
    assert!(error.to_string().contains("the arguments of calls 0 to 0 (300005 bytes)"), "{error}");
    let futures = fexec.map(large_of, vec![LARGE as u64]).await.expect("a job");
    let error = futures.outcomes().await.expect("outcomes").remove(0).expect_err("no way");
    assert!(error.to_string().contains("workers cannot reach the storage"), "{error}");
}

const FOLDERS: &str = "LITHOPS_TEST_LARGE_FOLDERS";

/// The client of the test below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(folders) = std::env::var(FOLDERS) else { return };
    let (root, folder) = folders.split_once(':').expect("two folders");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let fexec = limited(Path::new(root), "").await;
        let futures =
            fexec.map(waits, vec![(PathBuf::from(folder), content(1, LARGE))]).await.expect("a job");
        futures.get_result().await.expect("a result");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_client_leaves_can_be_removed_and_that_of_others_is_let_alone() {
    let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut client = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(FOLDERS, format!("{}:{}", root.path().display(), folder.path().display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a client");
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while payload_store(root.path()).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("it is stored");
    let config = root.path().join("config.yaml");
    fs::write(&config, format!("localhost: {{storage_root: '{}'}}", root.path().display())).expect("written");
    let expired = || {
        let jobs = lithops::jobs::StoredJobs::open(Some(config.clone()), None).expect("a storage");
        jobs.expired(Duration::ZERO).expect("it is listed").expired
    };
    let found = tokio::task::block_in_place(expired);
    assert!(found.is_empty(), "its client lives: {found:?}");
    client.kill().expect("it is killed");
    client.wait().expect("it has ended");
    let found = tokio::task::block_in_place(expired);
    assert_eq!(found.len(), 1);
    tokio::task::block_in_place(|| found[0].remove()).expect("it is removed");
    assert_eq!(jobs(root.path()), 0);
}
