//! A worker that listens, as a process of its own, and the client that connects to it.

use std::{os::unix::net::UnixStream, path::PathBuf, process::Command, sync::Arc, time::Duration};

use futures_util::FutureExt;
use lithops_core::{
    compute::{ExitReason, WorkerChannel},
    error::Result,
    process,
    protocol::{Launch, Program, Setup, SignKey, answer_challenge, relay},
    storage::Locator,
};
use tokio::task::AbortHandle;

use crate::common::process::ListeningProcess;

/// A worker, which ends with its test.
pub(crate) struct ListeningWorker {
    pub(crate) process: ListeningProcess,
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
        command.env(Launch::VARIABLE, launch.to_json().expect("text"));
        Self { process: ListeningProcess::start(command), key, root }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) async fn connect(&self, key: &SignKey) -> Result<Arc<WorkerChannel>> {
        self.connected(key).await.map(|(channel, _)| channel)
    }

    /// The channel to the worker, and what cuts the connection.
    pub(crate) async fn connected(&self, key: &SignKey) -> Result<(Arc<WorkerChannel>, AbortHandle)> {
        let mut stream = tokio::net::TcpStream::connect(&self.process.address).await?;
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
}
