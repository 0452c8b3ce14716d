//! A fleet on this machine: workers that no client feeds, which find their jobs and chunks in the storage.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lithops::{ErrorKind, prelude::*};
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

#[lithops::function]
#[expect(clippy::print_stdout, reason = "that it is kept is what is tested")]
fn square(id: CallId, x: u64) -> u64 {
    println!("call {id} squares {x}");
    x * x
}

#[lithops::function]
fn odd_fails(x: u64) -> Result<u64, String> {
    if x % 2 == 1 { Err(format!("{x} is odd")) } else { Ok(x) }
}

#[lithops::function]
fn sum(values: Vec<u64>) -> u64 {
    values.into_iter().sum()
}

#[lithops::function]
fn worker_of(_: u64) -> u32 {
    std::os::unix::process::parent_id()
}

#[lithops::function]
fn times(x: u64, factor: Shared<u64>) -> u64 {
    x * *factor
}

#[lithops::function]
fn endless(_: u64) {
    loop {
        std::thread::park();
    }
}

/// Ends its worker, which takes the sub-worker with it.
#[lithops::function]
fn ends_its_worker(x: u64, victim: Shared<u64>) -> u64 {
    if x == *victim {
        kill(i32::try_from(std::os::unix::process::parent_id()).expect("small"), Signal::KILL);
        std::thread::park();
    }
    x
}

/// Says that it has begun, and goes on once it is allowed to.
#[lithops::function]
fn noted(id: CallId, folder: PathBuf) -> u64 {
    let mut notes =
        fs::OpenOptions::new().create(true).append(true).open(folder.join("begun")).expect("notes");
    // One write: lines of several processes do not mix.
    notes.write_all(format!("{id} {}\n", std::os::unix::process::parent_id()).as_bytes()).expect("written");
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    id.into()
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process"), signal).expect("it is there");
}

/// What the threads of a process do, a letter each as the system writes it; none if it is gone.
fn threads_of(pid: i32) -> Vec<char> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let state = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    threads.filter_map(state).collect()
}

async fn fleet(root: &Path, workers: usize, lease: &str) -> FunctionExecutor {
    let yaml = format!(
        "localhost: {{storage_root: '{}', dispatch: pull, lease: {lease}, worker_processes: 2, max_workers: {workers}}}",
        root.display()
    );
    FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor")
}

/// What is stored below a folder of the storage.
fn stored(root: &Path, below: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path()) }
        }
    }
    let mut found = Vec::new();
    walk(&root.join("storage").join(below), &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_runs_a_job_as_every_backend_does() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 3, "30s").await;
    let futures = fexec.map(square, 0..200).chunksize(8).await.expect("a job");
    let results = futures.get_result().await.expect("results");
    assert_eq!(results, (0..200).map(|x| x * x).collect::<Vec<_>>());
    assert_eq!((futures.plan().workers(), futures.plan().chunksize()), (25, 8));
    for number in [0, 77, 199] {
        assert_eq!(futures[number].logs().await.expect("a log"), format!("call {number} squares {number}\n"));
    }
    let ran = futures.iter().map(|future| future.stats().expect("ended").pid).collect::<BTreeSet<_>>();
    assert!(!ran.contains(&std::process::id()) && ran.len() <= 6, "{ran:?}");
}

/// With one worker: a second one that comes late may claim a chunk of a job that is just being removed. It removes what
/// it has written then, but leaves that to `lithops clean` if its client ends it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 1, "30s").await;
    let futures = fexec.map(square, 0..200).chunksize(8).await.expect("a job");
    futures.get_result().await.expect("results");
    drop((futures, fexec));
    assert_eq!(stored(root.path(), "lithops.jobs"), Vec::<PathBuf>::new());
    assert_eq!(stored(root.path(), "lithops.fleets"), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_of_one_job_find_the_next() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 1, "30s").await;
    let mut workers = BTreeSet::new();
    for _ in 0..3 {
        let futures = fexec.map(worker_of, 0..4).await.expect("a job");
        workers.extend(futures.get_result().await.expect("results"));
    }
    let both =
        [fexec.map(worker_of, 0..4).await.expect("a job"), fexec.map(worker_of, 0..4).await.expect("a job")];
    for futures in both {
        workers.extend(futures.get_result().await.expect("results"));
    }
    workers.insert(fexec.call_async(worker_of, 1).await.expect("a call").result().await.expect("a result"));
    assert_eq!(workers.len(), 1, "{workers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_retries_shared_values_and_chains_are_as_elsewhere() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 2, "30s").await;
    let futures = fexec.map(odd_fails, 0..20).chunksize(3).retries(2).await.expect("a job");
    for (x, outcome) in (0..20).zip(futures.outcomes().await.expect("outcomes")) {
        match outcome {
            Ok(value) => assert!(value == x && x % 2 == 0),
            Err(error) => {
                assert_eq!((error.message(), error.attempts()), (format!("{x} is odd").as_str(), 3));
            }
        }
    }
    let tenfold = fexec.map(times, 0..5).shared(10).await.expect("a job");
    let chained = fexec.map(times, tenfold).shared(3).await.expect("a job");
    assert_eq!(chained.get_result().await.expect("results"), [0, 30, 60, 90, 120]);

    let error = fexec.map(square, 0..2).extra_env([("A", "b")]).await.expect_err("it would be stored");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("`extra_env` cannot reach"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn map_reduce_runs_on_a_fleet() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 1, "30s").await;
    let total = fexec.map_reduce(square, 0..50, sum).chunksize(7).await.expect("a job");
    assert_eq!(total.result().await.expect("a result"), (0..50).map(|x| x * x).sum::<u64>());
    let failed = fexec.map_reduce(odd_fails, 0..3, sum).await.expect("a job");
    let error = failed.result().await.expect_err("a map failed");
    assert!(error.to_string().contains("1 is odd"), "{error}");
    drop((total, failed, fexec));
    assert_eq!(stored(root.path(), "lithops.jobs"), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_map_reduce_ends_and_its_maps_with_it() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 2, "30s").await;
    let total = fexec.map_reduce(endless_then_one, 0..4, sum).await.expect("a job");
    total.cancel().await.expect("cancels");
    let error = total.result().await.expect_err("it was cancelled");
    assert!(error.to_string().contains("cancelled"), "{error}");
    // The workers are free again.
    let futures = fexec.map(square, 0..4).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), [0, 1, 4, 9]);
}

#[lithops::function]
fn endless_then_one(_: u64) -> u64 {
    loop {
        std::thread::park();
    }
}

/// Each has one chunk, and both wait for one another: they need two workers.
#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_of_a_fleet_run_at_the_same_time() {
    let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let fexec = fleet(root.path(), 4, "30s").await;
    let first = fexec.call_async(noted, folder.path().to_owned()).await.expect("a call");
    let second = fexec.call_async(noted, folder.path().to_owned()).await.expect("a call");
    until("both calls", || begun(folder.path()).len() == 2).await;
    fs::write(folder.path().join("go"), "").expect("written");
    assert_eq!((first.result().await.expect("a result"), second.result().await.expect("a result")), (0, 0));
}

/// Closing an executor lets what runs come to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_is_closed_ends_its_jobs_first() {
    let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let fexec = fleet(root.path(), 1, "30s").await;
    let futures = fexec.map(noted, vec![folder.path().to_owned(); 4]).chunksize(2).await.expect("a job");
    until("calls that run", || begun(folder.path()).len() == 2).await;
    fexec.close().await.expect("closes");
    fs::write(folder.path().join("go"), "").expect("written");
    assert_eq!(futures.get_result().await.expect("results"), [0, 1, 2, 3]);
    let runs = begun(folder.path());
    let workers: BTreeSet<_> = runs.iter().map(|(_, worker)| *worker).collect();
    assert_eq!((runs.len(), workers.len()), (4, 1), "one worker ran each call once: {runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_and_its_workers_go_on_with_the_next() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 2, "2s").await;
    let futures = fexec.map(endless, 0..8).chunksize(2).await.expect("a job");
    futures.cancel().await.expect("cancels");
    let outcomes = futures.outcomes().await.expect("outcomes");
    let cancelled = |outcome: &Result<(), CallError>| {
        outcome.as_ref().is_err_and(|error| *error.kind() == CallErrorKind::Cancelled)
    };
    assert!(outcomes.iter().all(cancelled), "{outcomes:?}");
    let futures = fexec.map(square, 0..4).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), [0, 1, 4, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_its_workers_is_found_and_the_others_are_not_blamed() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 2, "500ms").await;
    let futures = fexec.map(ends_its_worker, 0..12).shared(5).chunksize(4).await.expect("a job");
    for (x, outcome) in (0..12).zip(futures.outcomes().await.expect("outcomes")) {
        match outcome {
            Ok(value) => assert!(value == x && x != 5),
            Err(error) => {
                assert_eq!((x, error.kind()), (5, &CallErrorKind::WorkerLost), "{error}");
            }
        }
    }
}

/// Which call was begun by which worker, in that order.
fn begun(folder: &Path) -> Vec<(u64, i32)> {
    let notes = fs::read_to_string(folder.join("begun")).unwrap_or_default();
    let note = |line: &str| {
        let (call, worker) = line.split_once(' ')?;
        Some((call.parse().ok()?, worker.parse().ok()?))
    };
    notes.lines().filter_map(note).collect()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited for {what} in vain");
}

/// One of four workers is killed, and one sleeps for longer than its lease and goes on then with what it held: every
/// call is committed once.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_committed_once_when_a_worker_is_killed_and_one_sleeps_too_long() {
    const CALLS: u64 = 32;
    let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let fexec = fleet(root.path(), 4, "1s").await;
    let mut events = fexec.events();
    let inputs = vec![folder.path().to_owned(); usize::try_from(CALLS).expect("few")];
    let futures = fexec.map(noted, inputs).chunksize(4).await.expect("a job");
    let workers = || begun(folder.path()).iter().map(|(_, worker)| *worker).collect::<BTreeSet<_>>();
    until("four workers", || workers().len() == 4).await;
    let four: Vec<_> = workers().into_iter().collect();
    let (killed, asleep) = (four[0], four[1]);
    let held = |worker: i32| {
        let held = begun(folder.path()).into_iter().filter(|(_, of)| *of == worker).map(|(call, _)| call / 4);
        held.collect::<BTreeSet<_>>()
    };
    let (of_killed, of_asleep) = (held(killed), held(asleep));
    kill(killed, Signal::KILL);
    kill(asleep, Signal::STOP);
    // A signal is sent before it is obeyed: until then, each could still commit what it holds.
    until("the killed to be gone", || threads_of(killed).iter().all(|state| *state == 'Z')).await;
    until("the sleeper to sleep", || threads_of(asleep).iter().all(|state| *state == 'T')).await;
    // The claims of the sleeper are taken over, with its lease over on another's clock.
    let epochs = |chunk: &u64| {
        stored(root.path(), "lithops.jobs")
            .iter()
            .any(|path| path.to_string_lossy().ends_with(&format!("board/claims/{chunk:012}/{:012}", 2)))
    };
    fs::write(folder.path().join("go"), "").expect("written");
    until("both to be given up", || of_killed.iter().chain(&of_asleep).all(epochs)).await;
    kill(asleep, Signal::CONT);
    let results = futures.get_result().await.expect("results");
    assert_eq!(results, (0..CALLS).collect::<Vec<_>>());
    let commits = stored(root.path(), "lithops.jobs").into_iter();
    let commits =
        commits.filter(|path| path.parent().is_some_and(|folder| folder.ends_with("commit"))).count();
    assert_eq!(commits, 8, "one for each chunk");

    // What was visible never changed: each call became so once.
    let mut done = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            lithops::JobEvent::Done { progress, .. } => {
                *done.entry(progress.done).or_insert(0) += 1;
            }
            lithops::JobEvent::Finished { progress, .. } => {
                assert_eq!(progress.done, CALLS);
                break;
            }
            _ => {}
        }
    }
    assert!(done.keys().all(|done| *done <= CALLS) && done.values().all(|times| *times == 1), "{done:?}");
}

/// What is not signed with the key of the fleet is not executed, and said.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_nobody_of_the_fleet_has_signed_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 1, "30s").await;
    let first = fexec.map(endless, 0..1).await.expect("a job");
    // A file that is being written has a name with `#`, and may be empty.
    let manifest = || {
        let mut stored = stored(root.path(), "lithops.fleets").into_iter();
        stored.find(|path| !path.to_string_lossy().contains('#'))
    };
    until("the manifest", || manifest().is_some()).await;
    let manifest = manifest().expect("it is there");
    let signed = fs::read(&manifest).expect("the manifest");
    let changed = fs::read(&manifest).map(|mut bytes| {
        *bytes.last_mut().expect("not empty") ^= 1;
        bytes
    });
    fs::write(&manifest, changed.expect("the manifest")).expect("written");
    let foreign = manifest.with_file_name(lithops::JobId::generate().to_string());
    fs::write(&foreign, &signed).expect("written");
    let told = |error: &lithops::Error| {
        assert!(error.to_string().contains("is not signed with the key of this fleet"), "{error}");
    };
    if let Err(error) = first.cancel().await {
        return told(&error);
    }
    drop(first);
    // A worker may be given a job before it looks for others, and may leave when no job is there to be told of it.
    for _ in 0..20 {
        match fexec.map(square, 0..4).await.expect("a job").get_result().await {
            Ok(values) => assert_eq!(values, [0, 1, 4, 9], "only what the fleet has signed is executed"),
            Err(error) => return told(&error),
        }
    }
}

/// A client that is gone, and another that goes on with its job and a fleet of its own.
#[tokio::test(flavor = "multi_thread")]
async fn another_client_goes_on_with_a_fleet_of_its_own() {
    let (root, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut client = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(FOLDERS, format!("{}:{}", root.path().display(), folder.path().display()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a client");
    until("calls that run", || begun(folder.path()).len() >= 4).await;
    client.kill().expect("it is killed");
    client.wait().expect("it has ended");
    fs::write(folder.path().join("go"), "").expect("written");

    let job = stored(root.path(), "lithops.jobs").iter().find_map(|path| {
        let below = path.strip_prefix(root.path().join("storage/lithops.jobs")).ok()?;
        below.components().next()?.as_os_str().to_str()?.parse().ok()
    });
    let fexec = fleet(root.path(), 2, "500ms").await;
    let futures = fexec.attach::<u64>(job.expect("a job")).await.expect("attaches");
    assert_eq!(futures.get_result().await.expect("results"), (0..16).collect::<Vec<_>>());
}

const FOLDERS: &str = "LITHOPS_TEST_PULL_FOLDERS";

/// The client of the test above, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(folders) = std::env::var(FOLDERS) else { return };
    let (root, folder) = folders.split_once(':').expect("two folders");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let fexec = fleet(Path::new(root), 2, "500ms").await;
        let futures = fexec.map(noted, vec![PathBuf::from(folder); 16]).chunksize(4).await.expect("a job");
        futures.get_result().await.expect("results");
    });
}
