//! The `lithops-worker` program plays the worker, and the client's program the sub-worker.

use std::{collections::BTreeSet, fs, process::Command};

use lithops::prelude::*;

lithops::test_worker!();

const WORKER: &str = env!("CARGO_BIN_EXE_lithops-worker");

#[lithops::function]
fn who(_x: u32) -> (String, String) {
    let parent = format!("/proc/{}/exe", std::os::unix::process::parent_id());
    let name = |path: &str| fs::read_link(path).expect("a program").display().to_string();
    (name("/proc/self/exe"), name(&parent))
}

#[tokio::test]
async fn the_program_named_as_runtime_is_the_worker() {
    let fexec = FunctionExecutor::builder()
        .set("runtime", WORKER)
        .worker_processes(2)
        .build()
        .await
        .expect("an executor");
    let answers = fexec.map(who, 0..20).await.expect("a job").get_result().await.expect("results");
    let answers: BTreeSet<_> = answers.into_iter().collect();
    let own = std::env::current_exe().expect("this program").display().to_string();
    let worker = fs::canonicalize(WORKER).expect("the worker").display().to_string();
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), [(own, worker)]);
}

#[test]
fn started_by_hand_it_says_what_it_is() {
    let output = Command::new(WORKER).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("started by a backend, not by hand") && said.contains("localhost: runtime:"),
        "{said}"
    );
    let version = Command::new(WORKER).arg("--version").output().expect("it runs");
    assert_eq!(
        String::from_utf8_lossy(&version.stdout),
        format!("lithops-worker {}\n", env!("CARGO_PKG_VERSION"))
    );
}
