//! A worker that listens, as a process of its own, and the client that connects to it.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    panic::Location,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use lithops_core::{
    compute::{ExitReason, InvokeRequest, WorkerChannel},
    error::Result,
    function::{Argument, Function, entry_of},
    id::{ActivationId, JobId},
    process,
    protocol::{
        Calls, JobSpec, Launch, PayloadsBuilder, Program, Run, Setup, SignKey, answer_challenge, now_nanos,
        relay,
    },
    storage::Locator,
};
use tokio::task::AbortHandle;

/// A worker, which ends with its test.
pub(crate) struct ListeningWorker {
    child: Option<Child>,
    pid: u32,
    pub(crate) address: String,
    pub(crate) key: SignKey,
    root: tempfile::TempDir,
}

impl ListeningWorker {
    /// This program as its own worker; `times` are the times of its launch document that are to be others, in seconds.
    pub(crate) fn start(times: &[(&str, &str)]) -> Self {
        let (key, root) = (SignKey::generate().expect("a key"), tempfile::tempdir().expect("a folder"));
        let mut launch = Launch::new("fleet", key.verify_key(), Locator::new("none", "")).named("worker");
        launch.grace = Duration::from_secs(600);
        for (name, seconds) in times {
            assert_eq!(*name, "orphan");
            launch.orphan = Duration::from_secs_f64(seconds.parse().expect("a number"));
        }
        let program = process::program().expect("this program");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(&program.arguments).env(process::TRANSPORT_VARIABLE, process::SERVE);
        command.env(Launch::VARIABLE, launch.to_json().expect("text")).env("LITHOPS_LISTEN", "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a worker");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("a line") > 0, "the worker has ended: {said}");
            if let Some((_, address)) = line.trim().split_once(" listens at ") {
                break address.to_owned();
            }
            said.push_str(&line);
        };
        // What it says later is not waited for.
        thread::spawn(move || lines.read_to_string(&mut String::new()));
        Self { pid: child.id(), child: Some(child), address, key, root }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) async fn connect(&self, key: &SignKey) -> Result<Arc<WorkerChannel>> {
        self.connected(key).await.map(|(channel, _)| channel)
    }

    /// The channel to the worker, and what cuts the connection.
    pub(crate) async fn connected(&self, key: &SignKey) -> Result<(Arc<WorkerChannel>, AbortHandle)> {
        let mut stream = tokio::net::TcpStream::connect(&self.address).await?;
        answer_challenge(&mut stream, "fleet", "worker", key).await?;
        let (channel, relayed) = UnixStream::pair()?;
        let relay = tokio::spawn(relay(stream, relayed));
        let cut = relay.abort_handle();
        let how_it_ended = |_| async { ExitReason::Lost(format!("{:?}", relay.await)) }.boxed();
        let program = Program { path: "/".into(), arguments: Vec::new() };
        let grace = Duration::from_millis(500);
        let setup = Setup { program, grace, launch: None, secrets: None };
        let channel = WorkerChannel::greet("worker", channel, &setup, None, Box::new(how_it_ended))?;
        Ok((Arc::new(channel), cut))
    }

    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().expect("a signal");
        assert!(sent.success());
    }

    /// The exit code of the worker, which ends by itself.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || child.wait().expect("an end").code());
        ended.await.expect("no panic")
    }
}

impl Drop for ListeningWorker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A request to call a function with each of the inputs, as a job of its own.
pub(crate) fn calls<F: Function<K>, K, T: Argument>(
    function: F,
    worker_processes: u32,
    inputs: &[T],
) -> InvokeRequest {
    let _ = function;
    let entry = entry_of::<F, K>(Location::caller()).expect("a function");
    let job = JobSpec {
        job: JobId::generate(),
        function: entry.id(),
        worker_processes,
        timeout: None,
        at_most_once: false,
        env: Vec::new(),
        shared: Vec::new(),
        stored_shared: Vec::new(),
        inline_limit: None,
        storage: None,
        log_limit: 1 << 20,
        live_logs: false,
        durable: None,
        depth: 0,
        parent: None,
    };
    let mut arguments = PayloadsBuilder::default();
    for input in inputs {
        arguments.data().extend_from_slice(&lithops_core::value::encode(input).expect("an input"));
        arguments.end_value();
    }
    let (count, activation) = (u32::try_from(inputs.len()).expect("few"), ActivationId(1));
    let run = Run { job: job.job, activation, offset: 0, chunksize: count, attempt: 1, first: 0, count };
    let calls = Calls { run, batch: 0, queued_at: now_nanos(), arguments: arguments.finish() };
    InvokeRequest::new(Arc::new(job), vec![calls])
}

/// Waits until a call has written a line into the file.
pub(crate) async fn until_written(path: &Path) {
    while !std::fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
