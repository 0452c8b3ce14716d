//! [`FakeLambda`]: the service.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{Counts, Settings, api, shared::Shared};

/// A fake of Lambda that listens at a port of loopback until it is dropped.
#[derive(Debug)]
pub struct FakeLambda {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    /// Removed at the end.
    _folder: Option<TempDir>,
}

/// An environment as tests may look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentInfo {
    /// The name of its function.
    pub function: String,
    /// The process of its `bootstrap`.
    pub pid: u32,
    /// Whether it waits for an invocation.
    pub is_idle: bool,
}

impl FakeLambda {
    /// Listens, and serves on a task of the runtime that this is called in, which has to have several threads.
    ///
    /// # Errors
    /// The port is taken, or the folder cannot be made.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let temporary = match &settings.folder {
            Some(folder) => fs::create_dir_all(folder).map(|()| None)?,
            None => Some(tempfile::Builder::new().prefix("fake-lambda-").tempdir()?),
        };
        let folder = temporary.as_ref().map(TempDir::path).or(settings.folder.as_deref());
        // Paths of programs are taken relative to their working folder, which is another one.
        let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(settings, folder));
        let serving = tokio::spawn(api::serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, serving, _folder: temporary })
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has happened until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.ledger.read()
    }

    /// Waits until the counts are as wanted, and returns them.
    pub async fn until(&self, holds: impl FnMut(&Counts) -> bool) -> Counts {
        self.shared.ledger.until(holds).await
    }

    /// Waits until nothing runs and every environment waits for an invocation, stopped if they are ever stopped.
    pub async fn at_rest(&self) -> Counts {
        self.until(|counts| counts.running == 0 && counts.environments == counts.idle).await
    }

    /// The environments that are there.
    #[must_use]
    pub fn environments(&self) -> Vec<EnvironmentInfo> {
        self.shared.pool.all().iter().map(|environment| environment.info()).collect()
    }

    /// Where packages are unpacked, and where the logs are: `logs/FUNCTION/STREAM.log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }
}

impl Drop for FakeLambda {
    fn drop(&mut self) {
        self.serving.abort();
        self.shared.pool.close();
    }
}
