//! A fleet whose storage another program takes objects from, or puts objects into, while it works.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lithops::{ErrorKind, prelude::*};
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

const CALLS: u64 = 16;

/// Says that it has begun, and goes on once it is allowed to.
#[lithops::function]
fn waits(id: CallId, folder: PathBuf, nothing: Shared<u64>) -> u64 {
    let mut notes =
        fs::OpenOptions::new().create(true).append(true).open(folder.join("begun")).expect("notes");
    notes.write_all(format!("{}\n", std::os::unix::process::parent_id()).as_bytes()).expect("written");
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    u64::from(id) + *nothing
}

/// A job whose first calls have begun.
struct Running {
    root: tempfile::TempDir,
    folder: tempfile::TempDir,
    futures: lithops::FuturesList<u64>,
    // The last to go: its workers end with it.
    _fexec: FunctionExecutor,
}

impl Running {
    async fn begin(workers: usize) -> Self {
        let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let yaml = format!(
            "localhost: {{storage_root: '{}', dispatch: pull, lease: 1s, worker_processes: 2, max_workers: {workers}}}",
            root.path().display()
        );
        let fexec = FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor");
        let inputs = vec![folder.path().to_owned(); usize::try_from(CALLS).expect("few")];
        let futures = fexec.map(waits, inputs).shared(0).chunksize(4).await.expect("a job");
        let running = Self { root, folder, futures, _fexec: fexec };
        until("calls that run", || !running.workers().is_empty()).await;
        running
    }

    /// The workers that have begun calls.
    fn workers(&self) -> Vec<i32> {
        let notes = fs::read_to_string(self.folder.path().join("begun")).unwrap_or_default();
        notes.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// What is stored whose path has this in it.
    fn stored(&self, what: &str) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path()) }
            }
        }
        let mut found = Vec::new();
        walk(self.root.path(), &mut found);
        // Files that are being written have such names.
        found.retain(|path| path.to_string_lossy().contains(what) && !path.to_string_lossy().contains('#'));
        found
    }

    fn remove(&self, what: &str) {
        let stored = self.stored(what);
        assert!(!stored.is_empty(), "nothing is stored as {what}");
        for path in stored {
            // Who has written it may replace it at the same moment.
            let _ = fs::remove_file(path);
        }
    }

    async fn is_stored_again(&self, what: &str) {
        until(what, || !self.stored(what).is_empty()).await;
    }

    async fn finish(self) {
        fs::write(self.folder.path().join("go"), "").expect("written");
        let results = self.futures.get_result().await.expect("results");
        assert_eq!(results, (0..CALLS).collect::<Vec<_>>());
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(120), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited for {what} in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_removed_is_put_again() {
    let running = Running::begin(2).await;
    for _ in 0..2 {
        running.remove("lithops.fleets/");
        running.is_stored_again("lithops.fleets/").await;
    }
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_whose_claims_are_removed_are_committed_once_all_the_same() {
    let running = Running::begin(2).await;
    // Their holders do not notice; a worker without a chunk may claim them a second time.
    running.remove("/board/claims/");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_and_leases_that_are_removed_change_nothing() {
    let running = Running::begin(2).await;
    // The first beat is written when the second would be due.
    running.is_stored_again("/board/beat/").await;
    running.remove("/board/beat/");
    running.remove("/lease/");
    running.is_stored_again("/board/beat/").await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_absurd_epochs_that_somebody_puts_change_nothing() {
    let running = Running::begin(1).await;
    let claims = running.stored("/board/claims/").remove(0);
    let claims = claims.ancestors().nth(2).expect("the folder of all claims").to_owned();
    for (chunk, epoch) in [(0, "999999999999"), (1, "18446744073709551615"), (2, "000000004711"), (3, "-1")] {
        let folder = claims.join(format!("{chunk:012}"));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(epoch), [0xff, 0, b'/', 1]).expect("written");
    }
    fs::write(claims.join("x"), "").expect("written");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_removed_while_it_runs_ends_with_an_error() {
    let running = Running::begin(2).await;
    running.remove("/record");
    let error = running.futures.get_result().await.expect_err("nobody can finish it");
    assert_eq!(error.kind(), ErrorKind::NotDurable, "{error}");
    assert!(error.to_string().contains("was removed while it ran"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_are_removed_are_an_error_that_names_them() {
    let running = Running::begin(1).await;
    running.remove("/inputs/");
    // The next worker does not have them in memory.
    let worker = Pid::from_raw(running.workers()[0]).expect("a process");
    kill_process(worker, Signal::KILL).expect("it is there");
    let error = running.futures.get_result().await.expect_err("there are no inputs");
    assert!(error.to_string().contains("/inputs/"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_values_that_are_removed_are_an_error_that_names_them() {
    let running = Running::begin(1).await;
    running.remove("/shared/");
    // The next worker does not have them in memory.
    let worker = Pid::from_raw(running.workers()[0]).expect("a process");
    kill_process(worker, Signal::KILL).expect("it is there");
    let error = running.futures.get_result().await.expect_err("there are no shared values");
    assert!(error.to_string().contains("/shared/"), "{error}");
}
