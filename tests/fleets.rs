//! Fleets whose workers are started as on a platform elsewhere: with a launch document alone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lithops::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

#[lithops::function]
fn square(x: u64) -> u64 {
    x * x
}

/// Says that it has begun in a file of its own, and goes on once it is allowed to.
#[lithops::function]
fn noted(id: CallId, folder: PathBuf) -> u32 {
    fs::write(folder.join(format!("begun-{id}")), std::os::unix::process::parent_id().to_string())
        .expect("a note");
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::os::unix::process::parent_id()
}

#[lithops::function]
fn environment_of(_: u64) -> Vec<String> {
    std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("LITHOPS_")).collect()
}

fn yaml(root: &Path, workers: usize, more: &str) -> String {
    format!(
        "localhost: {{storage_root: '{}', dispatch: pull, launch: document, worker_processes: 1, \
         max_workers: {workers}{more}}}",
        root.display()
    )
}

async fn fleet(root: &Path, workers: usize) -> FunctionExecutor {
    FunctionExecutor::builder().config_yaml(yaml(root, workers, "")).build().await.expect("an executor")
}

/// The processes that were started with a launch document whose storage is in this folder.
fn workers_of(root: &Path) -> Vec<i32> {
    let is_worker = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let is_launched = environment.contains("LITHOPS_LAUNCH=") && !environment.contains("LITHOPS_ROLE=");
        is_launched && environment.contains(&*root.to_string_lossy())
    };
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_worker).collect()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn kill(pid: i32, signal: Signal) {
    // An error says that it has ended meanwhile.
    let _ = kill_process(Pid::from_raw(pid).expect("a process"), signal);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_have_a_document_alone_run_a_job_and_end_with_the_executor() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 3).await;
    let futures = fexec.map(square, 0..200).chunksize(8).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), (0..200).map(|x| x * x).collect::<Vec<_>>());
    // They are warm, and run the next job.
    assert_eq!(fexec.call_async(square, 9).await.expect("a call").result().await.expect("a result"), 81);
    assert!(!workers_of(root.path()).is_empty());
    drop(futures);
    drop(fexec);
    until("no worker is left", || workers_of(root.path()).is_empty()).await;
    let left = fs::read_dir(root.path().join("storage/lithops.fleets")).into_iter().flatten().flatten();
    assert_eq!(left.count(), 0, "nothing is stored of the fleet any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_in_the_document_and_calls_do_not_see_it() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path(), 1).await;
    let seen = fexec.call_async(environment_of, 0).await.expect("a call").result().await.expect("a result");
    assert!(!seen.iter().any(|name| name == "LITHOPS_LAUNCH" || name == "LITHOPS_TRANSPORT"), "{seen:?}");
    let worker = workers_of(root.path())[0];
    let environment = fs::read(format!("/proc/{worker}/environ")).expect("its environment");
    let document = String::from_utf8_lossy(&environment);
    let document =
        document.split('\0').find_map(|pair| pair.strip_prefix("LITHOPS_LAUNCH=")).expect("a document");
    let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
    let fields: BTreeSet<_> = document.as_object().expect("an object").keys().map(String::as_str).collect();
    let known = [
        "form", "lithops", "protocol", "fleet", "verify", "storage", "worker", "memory", "look", "patience",
        "orphan", "grace",
    ];
    assert_eq!(fields, known.into_iter().collect(), "a new field must be no secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_must_leave_hands_back_and_its_calls_go_on_elsewhere_at_once() {
    let (root, notes) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    // With the longest lease nothing would go on within the test by its end.
    let yaml = yaml(root.path(), 2, ", lease: 3600s");
    let fexec = FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor");
    let folder = notes.path().to_owned();
    // One chunk of two calls, of which the second waits in the worker, and one of another worker.
    let futures = fexec.map(noted, vec![folder; 4]).chunksize(2).await.expect("a job");
    let begun = |id: u64| fs::read_to_string(notes.path().join(format!("begun-{id}"))).ok();
    until("both chunks have begun", || begun(0).is_some() && begun(2).is_some()).await;
    let first: i32 = begun(0).expect("it has begun").parse().expect("a process");
    // Twice: what runs is not waited for.
    kill(first, Signal::TERM);
    kill(first, Signal::TERM);
    until("the worker has ended", || !workers_of(root.path()).contains(&first)).await;
    fs::write(notes.path().join("go"), "").expect("a note");
    let workers = futures.get_result().await.expect("results");
    assert_eq!(workers.len(), 4);
    assert!(!workers.contains(&u32::try_from(first).expect("a process")), "{workers:?}");
}

/// The process in which a call has begun.
fn begun_in(folder: &Path, call: u64) -> Option<i32> {
    fs::read_to_string(folder.join(format!("begun-{call}"))).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_executor_was_dropped_keeps_its_workers() {
    let (root, notes) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let yaml = yaml(root.path(), 1, ", orphan: 1s");
    let fexec = FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor");
    let futures = fexec.map(noted, vec![notes.path().to_owned(); 1]).await.expect("a job");
    until("the call runs", || begun_in(notes.path(), 0).is_some()).await;
    let worker = begun_in(notes.path(), 0).expect("it has begun");
    drop(fexec);
    // The client goes on saying that it lives, for longer than a worker would wait.
    let beats = || {
        let fleets = fs::read_dir(root.path().join("storage/lithops.fleets")).into_iter().flatten().flatten();
        let said = fleets.filter_map(|fleet| fs::read_to_string(fleet.path().join("client")).ok()).next();
        said.and_then(|said| said.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = beats();
    // A busy worker looks once in 7.5 s, and the client says four times a second that it lives.
    until("the client has said for nine seconds that it lives", || beats() >= before + 36).await;
    fs::write(notes.path().join("go"), "").expect("a note");
    let ran_in = futures.get_result().await.expect("results");
    assert_eq!(ran_in, [u32::try_from(worker).expect("a process")]);
    drop(futures);
    until("no worker is left", || workers_of(root.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_workers_of_two_jobs_are_noticed_in_both() {
    let root = tempfile::tempdir().expect("a folder");
    let yaml = yaml(root.path(), 2, ", lease: 3s");
    let fexec = FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor");
    let notes = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let job = |notes: &tempfile::TempDir| fexec.map(noted, vec![notes.path().to_owned(); 1]);
    let (one, other) = (job(&notes[0]).await.expect("a job"), job(&notes[1]).await.expect("a job"));
    let begun = || notes.iter().filter_map(|notes| begun_in(notes.path(), 0)).collect::<Vec<_>>();
    until("both calls run", || begun().len() == 2).await;
    let killed = begun();
    killed.iter().for_each(|worker| kill(*worker, Signal::KILL));
    until("both calls run elsewhere", || {
        begun().len() == 2 && begun().iter().all(|worker| !killed.contains(worker))
    })
    .await;
    notes.iter().for_each(|notes| fs::write(notes.path().join("go"), "").expect("a note"));
    assert_eq!(
        (one.get_result().await.expect("results").len(), other.get_result().await.expect("results").len()),
        (1, 1)
    );
}

/// Runs 20,000 calls on 4 workers, while `hurt` does something to one of them again and again.
async fn survives(lease: &str, hurt: impl Fn(&[i32], u64)) {
    let root = tempfile::tempdir().expect("a folder");
    let yaml = yaml(root.path(), 4, &format!(", lease: {lease}"));
    let fexec = FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor");
    let futures = fexec.map(square, 0..20_000).chunksize(50).await.expect("a job");
    let mut hurts = 0;
    let mut goal = 100;
    while !futures.progress().is_finished() {
        // Each time another part of the calls has outcomes: in a short run as often as in a long one.
        until("the job goes on", || futures.progress().done >= goal || futures.progress().is_finished())
            .await;
        goal = futures.progress().done + 1500;
        hurt(&workers_of(root.path()), hurts);
        hurts += 1;
    }
    assert!(hurts >= 5, "{hurts}");
    assert_eq!(futures.get_result().await.expect("results"), (0..20_000).map(|x| x * x).collect::<Vec<_>>());
    drop(futures);
    drop(fexec);
    // Those that were stopped cannot end.
    workers_of(root.path()).into_iter().for_each(|worker| kill(worker, Signal::CONT));
    until("no worker is left", || workers_of(root.path()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_committed_once_while_workers_are_killed_told_to_leave_and_stopped() {
    survives("1s", |workers, times| {
        let Some(worker) = workers.get(usize::try_from(times).unwrap_or(0) % workers.len().max(1)) else {
            return;
        };
        let signals = [Signal::KILL, Signal::TERM, Signal::STOP];
        kill(*worker, signals[usize::try_from(times % 3).unwrap_or(0)]);
        // A worker that is stopped for good has a place that no other worker takes.
        if times % 3 == 0 {
            workers.iter().for_each(|worker| kill(*worker, Signal::CONT));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_another_version_is_refused_in_words_and_nothing_runs() {
    let worker = |document: &str| {
        let program = std::env::current_exe().expect("a program");
        let mut command = Command::new(program);
        command.args(["lithops_test_worker", "--exact", "--nocapture", "--include-ignored"]);
        command.env("LITHOPS_TRANSPORT", "pull").env("LITHOPS_LAUNCH", document);
        command.stdin(Stdio::null()).output().expect("a process")
    };
    let key = "0".repeat(64);
    let document = |form: u32, protocol: &str| {
        format!(
            "{{\"form\":{form},\"lithops\":\"9.9.9\",\"protocol\":{protocol},\"fleet\":\"f\",\"verify\":\"{key}\"}}"
        )
    };
    for (document, words) in [
        (document(2, "[5,5]"), "form 2, written by lithops \"9.9.9\""),
        (document(1, "[5,5]"), "the launch document cannot be read: missing field"),
        ("not JSON".to_owned(), "the launch document cannot be read"),
    ] {
        let output = worker(&document);
        assert_eq!(output.status.code(), Some(88), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{said}");
    }
}

/// The client of the test below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Some(root) = std::env::var_os("LITHOPS_TEST_FLEET").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let yaml = yaml(&root.join("data"), 2, ", orphan: 2s");
        let fexec = FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor");
        let job = fexec.map(noted, vec![root.clone(); 8]).chunksize(1).await.expect("a job");
        let _ = job.get_result().await;
    });
}

/// A process that does not outlive its test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client(root: &Path) -> Client {
    let program = std::env::current_exe().expect("a program");
    let arguments = ["the_client_in_a_process_of_its_own", "--exact", "--nocapture", "--test-threads=1"];
    let mut command = Command::new(program);
    command.args(arguments).env("LITHOPS_TEST_FLEET", root).stdout(Stdio::null()).stderr(Stdio::null());
    Client(command.spawn().expect("a client"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_whose_client_is_gone_ends() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("data")).expect("a folder");
    let mut client = client(root.path());
    until("calls run", || (0..8).any(|id| root.path().join(format!("begun-{id}")).exists())).await;
    client.0.kill().expect("killed");
    client.0.wait().expect("ended");
    // Its calls would run for ever.
    until("no worker is left", || workers_of(root.path()).is_empty()).await;
}
