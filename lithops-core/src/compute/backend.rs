//! [`ComputeBackend`]: the trait every backend implements.

use std::fmt::Debug;

use async_trait::async_trait;

use super::{
    Capabilities, Invocation, InvocationId, InvokeRequest, Package, Runtime, RuntimeId, RuntimeSpec,
};
use crate::{
    error::{Error, ErrorKind, Result},
    fleet::Launch,
};

/// A place where calls run: this machine, a function service, a container service, virtual machines.
///
/// Planner, executor and tests read [`capabilities`](Self::capabilities) and never a backend's name. What a backend
/// cannot do answers [`Unsupported`](crate::error::ErrorKind::Unsupported), and its capabilities say so.
#[async_trait]
pub trait ComputeBackend: Debug + Send + Sync + 'static {
    /// Which backend this is and where it runs.
    fn info(&self) -> BackendInfo;

    /// What it can do, and its limits.
    fn capabilities(&self) -> &Capabilities;

    /// What workers of another memory, in MB, could do. Where memory is not sold it makes no difference.
    ///
    /// # Errors
    /// When the platform does not sell it.
    fn sized(&self, memory: u64) -> Result<Capabilities> {
        let _ = memory;
        Ok(self.capabilities().clone())
    }

    /// Makes what [`deploy_runtime`](Self::deploy_runtime) needs: a package, an image.
    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package>;

    /// Makes workers able to start. Idempotent: deploying what is deployed already changes nothing.
    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime>;

    /// The runtimes that are deployed.
    async fn list_runtimes(&self) -> Result<Vec<Runtime>>;

    /// Removes a runtime.
    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()>;

    /// Hands `1..=capabilities.workers_per_invoke` activations over to workers.
    ///
    /// # Contract
    /// - It returns as soon as the platform has accepted the request; what happens then arrives as events.
    /// - Every call that was handed over is reported, or the invocation ends with an exit event; both may happen
    ///   late, never silently.
    /// - Dropping the invocation does not cancel it.
    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation>;

    /// Makes so many workers of a fleet live, of which some may live already; returns the names of all that do. Only
    /// where [`Capabilities::pull`] has terms: such a backend is never asked to [`invoke`](Self::invoke).
    ///
    /// # Contract
    /// - More workers than that may live; none is ended.
    /// - A worker that has said why it cannot work is an error, so that it is not started for ever.
    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Vec<String>> {
        let _ = (launch, workers);
        Err(Error::new(ErrorKind::Unsupported, format!("`{}` has no fleets", self.info().scheme)))
    }

    /// Attaches again to what is already running.
    async fn watch(&self, id: &InvocationId) -> Result<Invocation>;

    /// Ends an invocation and its calls. Cancelling what has ended is not an error.
    async fn cancel(&self, id: &InvocationId) -> Result<()>;

    /// Looks for what would keep jobs from running, and says what to do about it.
    async fn check(&self) -> Vec<Check>;

    /// Ends what the backend keeps: warm workers, fleets.
    async fn close(&self, mode: CloseMode) -> Result<()>;
}

/// Which backend it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendInfo {
    /// The backend's one word: scheme, feature, config section.
    pub scheme: &'static str,
    /// The region, for a cloud.
    pub region: Option<String>,
    /// Where it runs, for people.
    pub location: String,
}

/// A finding of [`ComputeBackend::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at and found.
    pub finding: String,
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// All is well.
    Fine,
    /// It works, but not as well as it could.
    Warning,
    /// Jobs cannot run.
    Error,
}

/// How a backend is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseMode {
    /// Running calls may end first.
    Drain,
    /// Everything ends now.
    Now,
}
