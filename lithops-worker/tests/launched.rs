//! `lithops-worker pull`: a worker of a fleet that has nothing but a launch document, and fetches the program of its jobs.

use std::{fs, io::Write as _, path::Path, process::Command, sync::Arc};

use lithops::prelude::*;
use lithops_core::{
    board::LeaseConfig,
    fleet::ClientFleet,
    protocol::{Launch, SignKey},
    storage::{Locator, StorageClient},
};

lithops::test_worker!();

#[lithops::function]
fn square(x: u64) -> u64 {
    x * x
}

#[lithops::function]
fn program_of(_: u64) -> String {
    fs::read_link(format!("/proc/{}/exe", std::os::unix::process::parent_id()))
        .expect("a link")
        .display()
        .to_string()
}

const WORKER: &str = env!("CARGO_BIN_EXE_lithops-worker");

async fn fleet(root: &Path) -> FunctionExecutor {
    let yaml = format!(
        "localhost: {{storage_root: '{}', dispatch: pull, launch: document, runtime: '{WORKER}', worker_processes: 2, \
         max_workers: 2}}",
        root.display()
    );
    FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_fetches_the_program_by_its_digest_and_runs_the_job() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path()).await;
    let futures = fexec.map(square, 0..100).chunksize(5).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), (0..100).map(|x| x * x).collect::<Vec<_>>());
    let program = fexec.call_async(program_of, 0).await.expect("a call").result().await.expect("a result");
    assert_eq!(fs::canonicalize(program).expect("a path"), fs::canonicalize(WORKER).expect("a path"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_another_digest_is_not_executed() {
    let root = tempfile::tempdir().expect("a folder");
    let fexec = fleet(root.path()).await;
    // The first job stores the program; a worker of another executor has not fetched it yet.
    fexec.call_async(square, 2).await.expect("a call").result().await.expect("a result");
    drop(fexec);
    let programs = root.path().join("storage/lithops.programs");
    let stored = fs::read_dir(programs).expect("programs").flatten().map(|entry| entry.path());
    let stored =
        stored.into_iter().find(|path| path.extension().is_some_and(|end| end == "zst")).expect("a program");
    // Another program, well packed.
    let mut packed =
        Command::new("zstd").args(["-q", "-c", "/bin/true"]).output().map(|output| output.stdout);
    let packed = packed.as_mut().map_or_else(|_| b"no program".to_vec(), std::mem::take);
    fs::File::create(&stored).and_then(|mut file| file.write_all(&packed)).expect("written");
    let fexec = fleet(root.path()).await;
    let error =
        fexec.call_async(square, 3).await.expect("a call").result().await.expect_err("it is not executed");
    let words = error.to_string();
    assert!(words.contains("a worker of the fleet cannot work") && words.contains("program"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_leave_does_not_end_as_if_it_were_done() {
    let root = tempfile::tempdir().expect("a folder");
    let locator = Locator::new("localhost", "storage").with_root(root.path().display().to_string());
    let storage = StorageClient::connect(&locator).expect("a storage");
    let fleet = Arc::new(ClientFleet::new(&storage, &locator, LeaseConfig::default()).expect("a fleet"));
    // Without a client the worker would end by itself.
    fleet.open().await.expect("an open fleet");
    let document = fleet.launch.to_json().expect("a document");
    let worker = Command::new(WORKER).arg("pull").env(Launch::VARIABLE, document).spawn();
    let mut worker = worker.expect("a worker");
    // A signal that comes before the worker listens would kill it.
    let listens = || {
        let status = fs::read_to_string(format!("/proc/{}/status", worker.id())).expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
        u64::from_str_radix(caught.trim(), 16).expect("a number") & (1 << 14) != 0
    };
    while !listens() {
        std::thread::yield_now();
    }
    let told = Command::new("kill").arg(worker.id().to_string()).status().expect("a signal");
    assert!(told.success());
    assert_eq!(worker.wait().expect("an end").code(), Some(75));
}

#[test]
fn a_check_says_what_a_worker_would_find() {
    let root = tempfile::tempdir().expect("a folder");
    let check = |storage: Locator| {
        let verify = SignKey::generate().expect("a key").verify_key();
        let document = Launch::new("fleet", verify, storage).to_json().expect("a document");
        let output =
            Command::new(WORKER).arg("check").env(Launch::VARIABLE, document).output().expect("a worker");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), said)
    };
    let folder = |path: &Path| Locator::new("localhost", "storage").with_root(path.display().to_string());
    let (code, said) = check(folder(root.path()));
    assert_eq!(
        (code, &said["error"], &said["storage"]),
        (Some(0), &serde_json::Value::Null, &"localhost".into())
    );
    assert!(said["cpus"].as_u64().is_some_and(|cpus| cpus > 0), "{said}");
    assert_eq!(said["machine"], std::env::consts::ARCH);
    let left = fs::read_dir(root.path().join("storage/lithops.fleets/fleet/check"));
    assert!(left.map_or(0, Iterator::count) == 0, "nothing is left");
    // A file in the place of the folder cannot be written to.
    fs::write(root.path().join("file"), b"").expect("a file");
    let (code, said) = check(folder(&root.path().join("file")));
    assert!(code == Some(88) || code == Some(75), "{code:?}");
    assert!(said["error"].as_str().is_some_and(|error| error.contains("file")), "{said}");
}

#[test]
fn secrets_that_cannot_be_read_are_said() {
    let root = tempfile::tempdir().expect("a folder");
    let storage = Locator::new("localhost", "storage").with_root(root.path().display().to_string());
    let verify = SignKey::generate().expect("a key").verify_key();
    let document = Launch::new("fleet", verify, storage).to_json().expect("a document");
    let file = root.path().join("no such file");
    let mut worker = Command::new(WORKER);
    worker.arg("pull").env(Launch::VARIABLE, document).env("LITHOPS_SECRETS_FILE", file);
    let output = worker.output().expect("a worker");
    assert_eq!(output.status.code(), Some(88), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cannot read the secrets of the storage in") && said.contains("no such file"),
        "{said}"
    );
}
