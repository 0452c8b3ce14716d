//! Clients that are killed or interrupted: what another client finds of their durable jobs, and what they leave.

mod common;

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::wait_for;
use lithops::{JobId, prelude::*};
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

const FOLDER: &str = "LITHOPS_TEST_INTERRUPTED";
const CALLS: u64 = 120;

/// Writes a file that is there whole or not at all.
fn write(path: &Path, text: &str) {
    let unfinished = path.with_extension(std::process::id().to_string());
    fs::write(&unfinished, text).expect("written");
    fs::rename(unfinished, path).expect("renamed");
}

/// Notes that it ran, and takes its time.
#[lithops::function]
fn work(x: u64, folder: PathBuf) -> u64 {
    let mut notes =
        fs::File::options().create(true).append(true).open(folder.join(x.to_string())).expect("a note");
    notes.write_all(b"ran\n").expect("noted");
    write(&folder.join("worker"), &std::os::unix::process::parent_id().to_string());
    let end = Instant::now() + Duration::from_millis(10);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    x * 3
}

/// Runs until it is ended.
#[lithops::function]
fn endless(folder: PathBuf) {
    write(&folder.join("pid"), &std::process::id().to_string());
    loop {
        thread::park();
    }
}

fn executor(folder: &Path) -> lithops::blocking::FunctionExecutor {
    lithops::blocking::FunctionExecutor::builder()
        .set("storage_root", folder.to_str().expect("UTF-8"))
        .worker_processes(2)
        .build()
        .expect("an executor")
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER).map(PathBuf::from) else { return };
    let fexec = executor(&folder);
    if folder.ends_with("endless") {
        fexec.call_async(endless, folder).run().expect("a call").result().expect_err("never");
        return;
    }
    let notes = folder.join("notes");
    // Long enough for the request to end it to be seen.
    let calls = if folder.ends_with("cancelled") { CALLS * 10 } else { CALLS };
    let inputs = (0..calls).map(move |x| (x, notes.clone()));
    let futures = fexec.map(work, inputs).chunksize(3).durable().run().expect("a job");
    write(&folder.join("job"), &futures.job_id().to_string());
    futures.get_result().expect("results");
    // The handles are not dropped before whoever reads along has read.
    wait_for("the reader", || folder.join("read").exists());
}

struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_client(folder: &Path) -> Client {
    fs::create_dir_all(folder.join("notes")).expect("a folder");
    // Whoever starts the tests may ignore the signal, as a shell does for what it runs in the background.
    let client = Command::new("env")
        .arg("--default-signal=INT")
        .arg(std::env::current_exe().expect("this program"))
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a client");
    Client(client)
}

fn job(folder: &Path) -> JobId {
    wait_for("the job", || folder.join("job").exists());
    fs::read_to_string(folder.join("job")).expect("reads").parse().expect("an id")
}

/// The chunks that are committed.
fn committed(folder: &Path, job: JobId) -> Vec<u64> {
    let entries = fs::read_dir(folder.join(format!("storage/lithops.jobs/{job}/commit")));
    let names =
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Whether a process runs no more. A zombie has ended; its new parent may take its time to notice.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}

fn runs(folder: &Path, call: u64) -> usize {
    fs::read_to_string(folder.join("notes").join(call.to_string())).map_or(0, |notes| notes.lines().count())
}

#[test]
fn after_a_killed_client_another_goes_on_and_runs_only_what_is_not_stored() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("killed");
    let mut client = start_client(&folder);
    let job = job(&folder);
    wait_for("outcomes", || committed(&folder, job).len() >= 8);
    client.0.kill().expect("killed");
    client.0.wait().expect("has ended");
    // Its worker ends with it, and may have stored a last chunk.
    let worker = fs::read_to_string(folder.join("notes/worker")).expect("a note").parse().expect("a number");
    wait_for("the end of its worker", || has_ended(worker));
    let runs_then = || (0..CALLS).map(|call| runs(&folder, call)).sum::<usize>();
    let before = runs_then();
    let stored = committed(&folder, job);
    assert!(stored.len() < 40, "it was killed half-way");

    let fexec = executor(&folder);
    let futures = fexec.attach::<u64>(job).expect("attaches");
    assert_eq!(futures.get_result().expect("results"), (0..CALLS).map(|x| x * 3).collect::<Vec<_>>());
    let restored = futures.progress().restored;
    assert_eq!(restored, stored.len() as u64 * 3);
    println!("{} of {CALLS} calls had no stored outcome and were run again", CALLS - restored);
    for call in 0..CALLS {
        let expected = if stored.contains(&(call / 3)) { 1..=1 } else { 1..=2 };
        assert!(expected.contains(&runs(&folder, call)), "call {call} ran {} times", runs(&folder, call));
    }
    assert_eq!(runs_then() - before, usize::try_from(CALLS - restored).expect("few"), "each of them once");
    drop(futures);
    drop(fexec);
    assert!(committed(&folder, job).is_empty(), "nothing is left");
}

#[test]
fn a_second_client_reads_along_and_takes_over_when_the_first_is_killed() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("both");
    let mut client = start_client(&folder);
    let job = job(&folder);
    let fexec = executor(&folder);
    let futures = fexec.attach::<u64>(job).expect("attaches");
    wait_for("the first outcomes", || futures.progress().done > 0);
    assert!(futures.progress().reading, "the first client drives it");
    let error = futures[119].cancel();
    assert!(
        error.is_err() || futures.progress().done == CALLS,
        "a single call is cancelled where the job is driven"
    );
    client.0.kill().expect("killed");
    client.0.wait().expect("has ended");
    assert_eq!(futures.get_result().expect("results"), (0..CALLS).map(|x| x * 3).collect::<Vec<_>>());
    assert!(!futures.progress().reading, "it has taken over");
}

#[test]
fn a_second_client_reads_to_the_end() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("reads");
    let mut client = start_client(&folder);
    let fexec = executor(&folder);
    let futures = fexec.attach::<u64>(job(&folder)).expect("attaches");
    assert_eq!(futures.get_result().expect("results"), (0..CALLS).map(|x| x * 3).collect::<Vec<_>>());
    fs::write(folder.join("read"), "").expect("written");
    assert!(client.0.wait().expect("ends").success());
    assert!((0..CALLS).all(|call| runs(&folder, call) == 1), "no call was run twice");
}

#[test]
fn a_client_that_reads_along_can_cancel_the_job() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("cancelled");
    let mut client = start_client(&folder);
    let fexec = executor(&folder);
    let futures = fexec.attach::<u64>(job(&folder)).expect("attaches");
    futures.cancel().expect("cancels");
    let outcomes = futures.outcomes().expect("outcomes");
    let cancelled = |outcome: &&Result<u64, CallError>| {
        outcome.as_ref().is_err_and(|error| *error.kind() == CallErrorKind::Cancelled)
    };
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || cancelled(&outcome)));
    assert!(outcomes.iter().filter(cancelled).count() > 0);
    assert!(!client.0.wait().expect("ends").success(), "its results are not all there");
}

#[test]
fn ctrl_c_cancels_what_runs_and_says_so() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("endless");
    let mut client = start_client(&folder);
    wait_for("the call", || folder.join("pid").exists());
    let call: u32 = fs::read_to_string(folder.join("pid")).expect("reads").parse().expect("a number");
    let pid = Pid::from_raw(i32::try_from(client.0.id()).expect("small")).expect("a process");
    kill_process(pid, Signal::INT).expect("interrupted");
    let mut said = String::new();
    client.0.stderr.take().expect("piped").read_to_string(&mut said).expect("reads");
    assert_eq!(client.0.wait().expect("ends").code(), Some(130), "{said}");
    assert!(said.contains("interrupted: 0 of 1 calls") && said.contains("cancelled"), "{said}");
    wait_for("the end of the call", || has_ended(call));
}

#[test]
fn handles_travel_by_name_and_only_those_of_stored_jobs() {
    let root = tempfile::tempdir().expect("a folder");
    let notes = root.path().join("notes");
    fs::create_dir(&notes).expect("a folder");
    let fexec = executor(root.path());
    let inputs: Vec<_> = (0..6).map(|x| (x, notes.clone())).collect();
    let session = fexec.map(work, inputs.clone()).run().expect("a job");
    let error = serde_json::to_string(&session).expect_err("it lives in this process");
    assert!(error.to_string().contains(".durable()"), "{error}");
    let durable = fexec.map(work, inputs).chunksize(2).durable().run().expect("a job");
    let (all, one) = (
        serde_json::to_string(&durable).expect("travels"),
        serde_json::to_string(&durable[4]).expect("travels"),
    );
    let all: lithops::blocking::FuturesList<u64> = serde_json::from_str(&all).expect("arrives");
    let one: lithops::blocking::ResponseFuture<u64> = serde_json::from_str(&one).expect("arrives");
    assert_eq!(one.result().expect("a value"), 12);
    assert_eq!(all.get_result().expect("values"), [0, 3, 6, 9, 12, 15]);
    drop(durable);
    fexec.close().expect("closes");
    assert_eq!(all[5].result().expect("a value"), 15, "what is stored stays for whoever has the handle");
}

/// The command, on the storage in a folder.
fn lithops(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = folder.join("lithops.yaml");
    fs::write(&config, format!("localhost:\n  storage_root: {}\n", folder.display())).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_lithops"))
        .args(arguments)
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .output()
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_lists_watches_cancels_and_cleans() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("seen");
    let mut client = start_client(&folder);
    let job = job(&folder).to_string();
    let (code, listed, _) = lithops(&folder, &["job", "list"]);
    assert!(code == Some(0) && listed.contains(&job) && listed.contains("interrupted::work"), "{listed}");
    let (_, status, _) = lithops(&folder, &["job", "status", &job, "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["calls"], CALLS);
    let (code, outcomes, _) = lithops(&folder, &["job", "attach", &job]);
    assert_eq!((code, outcomes.lines().count()), (Some(0), 120));
    assert_eq!(outcomes.lines().nth(7), Some(r#"{"call":7,"value":21}"#));
    fs::write(folder.join("read"), "").expect("written");
    assert!(client.0.wait().expect("ends").success());
    let (code, _, said) = lithops(&folder, &["job", "status", &job]);
    assert!(code == Some(3) && said.contains("nothing is stored"), "{said}");
}

#[test]
fn the_command_cancels_and_removes_what_a_crash_has_left() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("crashed");
    let mut client = start_client(&folder);
    let job = job(&folder);
    wait_for("outcomes", || committed(&folder, job).len() >= 3);
    client.0.kill().expect("killed");
    client.0.wait().expect("has ended");
    let id = job.to_string();
    let (_, status, _) = lithops(&folder, &["job", "status", &id]);
    assert!(status.contains("interrupted"), "{status}");
    let (code, _, said) = lithops(&folder, &["job", "attach", &id]);
    assert!(code != Some(0) && said.contains("nobody drives") && said.contains("fexec.attach"), "{said}");
    let (code, said, _) = lithops(&folder, &["clean", "--older-than", "1h"]);
    assert!(code == Some(0) && said.is_empty(), "{said}");
    let (code, said, _) = lithops(&folder, &["job", "cancel", &id]);
    assert!(code == Some(0) && said.contains("calls were cancelled"), "{said}");
    let (_, status, _) = lithops(&folder, &["job", "status", &id]);
    assert!(status.contains("cancelled, 120 of 120 calls"), "{status}");
    let (code, said, _) = lithops(&folder, &["job", "cancel", &id]);
    assert!(code == Some(0) && said.contains("nothing was left to cancel"), "{said}");
    let (code, said, _) = lithops(&folder, &["job", "attach", &id]);
    assert!(code == Some(5) && said.contains("cancelled") && said.contains("\"value\""), "{said}");
    let (_, said, _) = lithops(&folder, &["clean", "--older-than", "0s", "--dry-run"]);
    assert!(said.starts_with("would remove") && !committed(&folder, job).is_empty(), "{said}");
    let (_, said, _) = lithops(&folder, &["clean", "--older-than", "0s"]);
    assert!(said.starts_with("removing") && said.contains("cancelled"), "{said}");
    assert!(committed(&folder, job).is_empty());
    let (code, _, said) = lithops(&folder, &["job", "cancel", &id]);
    assert!(code == Some(3) && said.contains("nothing is stored"), "{said}");
}
