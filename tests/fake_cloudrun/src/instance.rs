//! [`Instance`]: a process of an image, and the connection to it.

use std::{
    fs::File,
    io,
    net::Ipv4Addr,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{net::TcpStream, process::Child};

use crate::images::Unpacked;

/// The pause between two looks whether an instance listens.
const LOOK: Duration = Duration::from_millis(10);
/// Cloud Run kills an instance so long after it has told it to end.
const GRACE: Duration = Duration::from_secs(10);

/// A process that serves one request at a time.
#[derive(Debug)]
pub(crate) struct Instance {
    process: Child,
    group: Option<Pid>,
    sender: SendRequest<Incoming>,
    frozen: AtomicBool,
}

impl Instance {
    /// Starts an instance, and waits until it listens.
    pub(crate) async fn start(
        unpacked: &Unpacked,
        arguments: &[String],
        variables: &[(String, String)],
        log: File,
    ) -> io::Result<Self> {
        let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = tokio::process::Command::new(&unpacked.program);
        command
            .args(&unpacked.arguments)
            .args(arguments)
            .env_clear()
            .envs(unpacked.variables.iter().cloned())
            .envs(variables.iter().cloned())
            .env("PORT", port.to_string())
            // Not every address of this machine, as in a container.
            .env("LITHOPS_LISTEN", format!("127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let mut process = command.spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let stream = loop {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                break stream;
            }
            if let Some(status) = process.try_wait()? {
                return Err(io::Error::other(format!(
                    "the container ended with {status} before it listened"
                )));
            }
            tokio::time::sleep(LOOK).await;
        };
        stream.set_nodelay(true)?;
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { process, group, sender, frozen: AtomicBool::new(false) })
    }

    pub(crate) fn sender(&self) -> SendRequest<Incoming> {
        self.sender.clone()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None)) && !self.sender.is_closed()
    }

    /// Takes the CPU from an instance between requests, or gives it back.
    pub(crate) fn freeze(&self, frozen: bool) {
        if self.frozen.swap(frozen, Ordering::Relaxed) != frozen {
            self.signal(if frozen { Signal::STOP } else { Signal::CONT });
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended by itself.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Tells the instance to end, and kills it when it has not.
    pub(crate) async fn end(mut self) {
        self.signal(Signal::TERM);
        self.freeze(false);
        let _ = tokio::time::timeout(GRACE, self.process.wait()).await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
