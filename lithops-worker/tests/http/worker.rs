//! A worker as a process of its own, at a port of loopback.

use std::{
    io::{BufRead, BufReader, Read},
    panic::Location,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use async_trait::async_trait;
use hyper::{HeaderMap, Uri};
use lithops_activations::{Activation, Limits, ServiceClient, ServiceRules, Target};
use lithops_core::{
    artifact::{Artifact, Glibc, Machine, ProgramRef, StoredProgram, Target as System},
    compute::InvokeRequest,
    error::Result,
    function::{Argument, Function, entry_of},
    id::{ActivationId, JobId},
    process,
    protocol::{Calls, JobSpec, PayloadsBuilder, Run, now_nanos},
    storage::{Locator, StorageClient},
};

use super::request::{Frames, Request};

const WORKER: &str = env!("CARGO_BIN_EXE_lithops-worker");

/// A worker, which ends with its test.
pub(crate) struct Worker {
    child: Option<Child>,
    pid: u32,
    pub(crate) address: String,
    root: tempfile::TempDir,
    running: ProgramRef,
}

#[derive(Debug)]
struct NoRules;

#[async_trait]
impl ServiceRules for NoRules {
    async fn headers(&self, _: bool) -> Result<HeaderMap> {
        Ok(HeaderMap::new())
    }
}

impl Worker {
    /// The program `lithops-worker`, which fetches this program from the storage.
    pub(crate) async fn start(variables: &[(&str, &str)]) -> Self {
        let (root, running) = stored().await;
        let mut command = Command::new(WORKER);
        command.arg("http").envs(variables.iter().copied());
        Self::spawn(command, root, running)
    }

    /// This program, which is its own worker.
    pub(crate) async fn of_this_program() -> Self {
        let (root, running) = stored().await;
        let program = process::program().expect("this program");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(&program.arguments).env("LITHOPS_TRANSPORT", "http");
        command.env("LITHOPS_PROGRAM", running.program.digest.to_string());
        Self::spawn(command, root, running)
    }

    fn spawn(mut command: Command, root: tempfile::TempDir, running: ProgramRef) -> Self {
        command.env("LITHOPS_LISTEN", "127.0.0.1:0").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().expect("a worker");
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
        Self { pid: child.id(), child: Some(child), address, root, running }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) fn client(&self, http2: bool) -> Arc<ServiceClient> {
        let connect: Uri = format!("http://{}", self.address).parse().expect("an address");
        let authority = connect.authority().expect("an address").clone();
        let client = ServiceClient::new(Target { connect, authority, http2 }, Arc::new(NoRules));
        Arc::new(client.expect("a client"))
    }

    /// A request to call a function with each of the inputs.
    pub(crate) async fn frames<F: Function<K>, K, T: Argument>(
        &self,
        function: F,
        worker_processes: u32,
        first: u64,
        inputs: &[T],
    ) -> Request {
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
            storage: Some(self.running.storage.clone()),
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
        let count = u32::try_from(inputs.len()).expect("few");
        let activation = ActivationId(1000 + first);
        let run = Run { job: job.job, activation, offset: 0, chunksize: count, attempt: 1, first, count };
        let calls = Calls { run, batch: 0, queued_at: now_nanos(), arguments: arguments.finish() };
        Request {
            running: self.running.clone(),
            invoke: InvokeRequest::new(Arc::new(job), vec![calls]),
            limits: Limits::new(Duration::from_secs(60), None),
        }
    }

    pub(crate) async fn activation<F: Function<K>, K, T: Argument>(
        &self,
        function: F,
        worker_processes: u32,
        first: u64,
        inputs: &[T],
    ) -> Activation {
        self.activation_within(function, worker_processes, first, inputs, None).await
    }

    pub(crate) async fn activation_within<F: Function<K>, K, T: Argument>(
        &self,
        function: F,
        worker_processes: u32,
        first: u64,
        inputs: &[T],
        run: Option<Duration>,
    ) -> Activation {
        let mut request = self.frames(function, worker_processes, first, inputs).await;
        request.limits.run = run;
        request.encode()
    }

    /// Makes a request without the client, to see each frame.
    pub(crate) async fn post(&self, request: &Request) -> (Frames, u16) {
        Frames::post(&self.address, request).await
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid.to_string()]).status().expect("a signal");
        assert!(sent.success());
    }

    /// The exit code of the worker, which ends by itself.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let ended = tokio::task::spawn_blocking(move || child.wait().expect("an end").code());
        ended.await.expect("no panic")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn stored() -> (tempfile::TempDir, ProgramRef) {
    let root = tempfile::tempdir().expect("a folder");
    let locator = Locator::new("localhost", "storage").with_root(root.path().display().to_string());
    let storage = StorageClient::connect(&locator).expect("a storage");
    let system = System { machine: Machine::here(), glibc: Glibc(99, 0), name: "this machine" };
    let artifact = Artifact::read(Path::new("/proc/self/exe"), &system).await.expect("this program");
    let program = StoredProgram::of(&artifact);
    program.put(&artifact, &storage).await.expect("stored");
    let arguments = process::program().expect("this program").arguments;
    (root, ProgramRef { program, storage: locator, arguments, answer_limit: 0 })
}
