//! Measures how soon a fleet goes on when a worker must leave, and how soon it ends when its client does.
//!
//! `cargo run -p lithops-conformance --example fleet_ends`

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lithops_backend_localhost as _;
use lithops_core::{executor::FunctionExecutor, id::CallId};
use lithops_macros::function;
use rustix::process::{Pid, Signal, kill_process};

/// How often each is measured.
const TIMES: usize = 9;
/// How long a client may be silent until its workers end.
const ORPHAN: Duration = Duration::from_secs(2);
/// The variable with the folder of a client that is to be killed.
const CLIENT: &str = "LITHOPS_FLEET_ENDS_CLIENT";

/// Says in which worker it has begun, and goes on once it is allowed to.
#[function(crate = "lithops_conformance")]
fn noted(id: CallId, folder: PathBuf) {
    let worker = std::os::unix::process::parent_id().to_string();
    fs::write(folder.join(format!("begun-{id}")), worker).expect("a note");
    while !folder.join("go").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn fleet(root: &Path, more: &str) -> FunctionExecutor {
    let yaml = format!(
        "localhost: {{storage_root: '{}', dispatch: pull, launch: document, worker_processes: 1, max_workers: 4{more}}}",
        root.display()
    );
    FunctionExecutor::builder().config_yaml(yaml).progress(false).build().await.expect("an executor")
}

fn begun(folder: &Path, call: u64) -> Option<i32> {
    fs::read_to_string(folder.join(format!("begun-{call}"))).ok()?.parse().ok()
}

/// Whether a process has a launch document with this folder.
fn has_workers(root: &Path) -> bool {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let mut environments = processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments.any(|text| {
        let text = String::from_utf8_lossy(&text);
        text.contains("LITHOPS_LAUNCH=") && text.contains(&*root.to_string_lossy())
    })
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// From `SIGTERM` to a worker until another one has begun its call.
async fn next_claim() -> Duration {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().to_owned();
    // With this lease nothing would go on by its end.
    let fexec = fleet(&root.path().join("data"), ", lease: 3600s").await;
    let futures = fexec.map(noted, vec![folder.clone(); 4]).chunksize(1).await.expect("a job");
    until(|| (0..4).all(|call| begun(&folder, call).is_some())).await;
    let worker = begun(&folder, 0).expect("it has begun");
    let told = Instant::now();
    until(|| {
        // The second time says that what runs is not waited for. Signals that come too fast are one.
        let _ = kill_process(Pid::from_raw(worker).expect("a process"), Signal::TERM);
        begun(&folder, 0).is_some_and(|now| now != worker)
    })
    .await;
    let took = told.elapsed();
    fs::write(folder.join("go"), "").expect("a note");
    futures.get_result().await.expect("results");
    took
}

/// From `SIGKILL` to a client until none of its workers lives.
async fn killed_client() -> Duration {
    let root = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(CLIENT, root.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = command.spawn().expect("a client");
    until(|| (0..4).all(|call| begun(root.path(), call).is_some())).await;
    client.kill().expect("killed");
    client.wait().expect("ended");
    let killed = Instant::now();
    until(|| !has_workers(root.path())).await;
    killed.elapsed()
}

/// From the end of an executor until none of its workers lives.
async fn normal_end() -> Duration {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("go"), "").expect("a note");
    let fexec = fleet(&root.path().join("data"), "").await;
    let futures = fexec.map(noted, vec![root.path().to_owned(); 4]).chunksize(1).await.expect("a job");
    futures.get_result().await.expect("results");
    drop(futures);
    drop(fexec);
    let ended = Instant::now();
    until(|| !has_workers(root.path())).await;
    ended.elapsed()
}

async fn client(root: &Path) {
    let fexec = fleet(&root.join("data"), &format!(", orphan: {}s", ORPHAN.as_secs())).await;
    let futures = fexec.map(noted, vec![root.to_owned(); 4]).chunksize(1).await.expect("a job");
    let _ = futures.get_result().await;
}

#[expect(clippy::print_stdout, reason = "this is a command")]
fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("{what}: median {:.2?}, at most {:.2?}", times[times.len() / 2], times[times.len() - 1]);
}

fn main() {
    lithops_worker::enter();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        if let Some(root) = std::env::var_os(CLIENT) {
            return client(Path::new(&root)).await;
        }
        let (mut claims, mut killed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TIMES {
            claims.push(next_claim().await);
            killed.push(killed_client().await);
            ended.push(normal_end().await);
        }
        print("a worker must leave, and its call begins elsewhere", claims);
        print(&format!("a client is killed, and no worker lives (orphan: {ORPHAN:?})"), killed);
        print("an executor ends, and no worker lives", ended);
    });
}
