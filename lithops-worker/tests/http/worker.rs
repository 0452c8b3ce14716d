//! A worker as a process of its own, at a port of loopback.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use hyper::{HeaderMap, Uri};
use lithops_activations::{Activation, Limits, ServiceClient, ServiceRules, Target};
use lithops_core::{
    artifact::{Artifact, Glibc, Machine, ProgramRef, StoredProgram, Target as System},
    error::Result,
    function::{Argument, Function},
    process,
    storage::{Locator, StorageClient},
};

use super::request::{Frames, Request};
use crate::common::{calls::calls, process::ListeningProcess};

const WORKER: &str = env!("CARGO_BIN_EXE_lithops-worker");

/// A worker, which ends with its test.
pub(crate) struct Worker {
    pub(crate) process: ListeningProcess,
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
        Self { process: ListeningProcess::start(command), root, running }
    }

    /// This program, which is its own worker.
    pub(crate) async fn of_this_program() -> Self {
        let (root, running) = stored().await;
        let program = process::program().expect("this program");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(&program.arguments).env("LITHOPS_TRANSPORT", "http");
        command.env("LITHOPS_PROGRAM", running.program.digest.to_string());
        Self { process: ListeningProcess::start(command), root, running }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) fn client(&self, http2: bool) -> Arc<ServiceClient> {
        let connect: Uri = format!("http://{}", self.process.address).parse().expect("an address");
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
        let storage = Some(self.running.storage.clone());
        Request {
            running: self.running.clone(),
            invoke: calls(function, worker_processes, first, inputs, storage),
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
        Frames::post(&self.process.address, request).await
    }

    pub(crate) fn stop(&self) {
        self.process.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.process.signal("-CONT");
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
