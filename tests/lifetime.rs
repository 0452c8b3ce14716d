//! Nothing runs on after the client that wanted it has gone.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::wait_for;
use lithops::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

lithops::test_worker!();

const FOLDER: &str = "LITHOPS_TEST_FOLDER";

/// Leaves the numbers of its process, its worker and a child of its own in a folder, and sleeps.
#[lithops::function]
#[expect(clippy::zombie_processes, reason = "it is to be left behind")]
fn leave_numbers(id: CallId, folder: PathBuf) {
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("a child");
    let numbers = format!("{} {} {}", std::process::id(), std::os::unix::process::parent_id(), child.id());
    fs::write(folder.join(format!("{id}.new")), numbers).expect("written");
    fs::rename(folder.join(format!("{id}.new")), folder.join(id.to_string())).expect("renamed");
    std::thread::sleep(Duration::from_secs(1000));
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let fexec =
        lithops::blocking::FunctionExecutor::builder().worker_processes(3).build().expect("an executor");
    let futures = fexec.map(leave_numbers, vec![PathBuf::from(&folder); 6]).run().expect("a job");
    if folder.ends_with("leaves") {
        wait_for("the calls", || numbers(Path::new(&folder)).len() == 3);
        return;
    }
    futures.get_result().expect("never");
}

/// A client that does not outlive its test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_client(folder: &Path) -> Client {
    let client = Command::new(std::env::current_exe().expect("this program"))
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a client");
    Client(client)
}

/// What the running calls have left: sub-worker, worker, child of the call.
fn numbers(folder: &Path) -> BTreeMap<String, Vec<i32>> {
    let files = fs::read_dir(folder).expect("a folder").flatten();
    let files = files.filter(|file| file.path().extension().is_none());
    files
        .map(|file| {
            let text = fs::read_to_string(file.path()).expect("numbers");
            let numbers = text.split(' ').map(|number| number.parse().expect("a number")).collect();
            (file.file_name().to_string_lossy().into_owned(), numbers)
        })
        .collect()
}

fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; whoever inherited it may take its time to notice.
    status.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL).expect("a signal");
}

fn all_gone(numbers: &BTreeMap<String, Vec<i32>>) {
    let pids: Vec<_> = numbers.values().flatten().copied().collect();
    assert_eq!(pids.len(), 9, "three calls run, and each has three processes to tell of: {numbers:?}");
    wait_for("the processes to end", || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn nothing_is_left_when_the_client_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = start_client(folder.path());
    wait_for("the calls", || numbers(folder.path()).len() == 3);
    client.0.kill().expect("killed");
    client.0.wait().expect("ended");
    all_gone(&numbers(folder.path()));
}

#[test]
fn nothing_is_left_when_the_client_ends_with_calls_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("leaves");
    fs::create_dir(&folder).expect("a folder");
    let mut client = start_client(&folder);
    assert!(client.0.wait().expect("ended").success());
    all_gone(&numbers(&folder));
}

#[test]
fn sub_workers_and_what_they_started_end_with_their_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = start_client(folder.path());
    wait_for("the calls", || numbers(folder.path()).len() == 3);
    let first = numbers(folder.path());
    kill(first.values().next().expect("a call")[1]);
    all_gone(&first);
    // The client notices at once and starts another worker for the same calls.
    wait_for("the calls again", || {
        let again = numbers(folder.path());
        again.len() == 3 && again.values().all(|call| call.iter().all(|pid| is_alive(*pid)))
    });
    client.0.kill().expect("killed");
    client.0.wait().expect("ended");
    all_gone(&numbers(folder.path()));
}

#[lithops::function]
fn places(_x: u32) -> (i32, i32) {
    let number = |pid: u32| i32::try_from(pid).expect("small");
    (number(std::process::id()), number(std::os::unix::process::parent_id()))
}

#[test]
fn workers_end_with_the_executor_and_its_last_job() {
    let fexec =
        lithops::blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
    let futures = fexec.map(places, 0..10).run().expect("a job");
    let places = futures.get_result().expect("results");
    let (sub_worker, worker) = places[0];
    assert!(is_alive(sub_worker) && is_alive(worker), "they are kept for the next job");
    drop(fexec);
    wait_for("the workers to end", || !is_alive(sub_worker) && !is_alive(worker));
    assert_eq!(futures.get_result().expect("the outcomes stay").len(), 10);
}
