//! [`ComputeBackend`]: the trait every backend implements.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{
    Capabilities, Invocation, InvocationId, InvokeRequest, Package, Runtime, RuntimeId, RuntimeSpec,
};
use crate::{
    error::{Error, ErrorKind, Result},
    protocol::Launch,
};

/// A place where calls run: this machine, a function service, a container service, virtual machines.
///
/// Planner, executor and tests read [`capabilities`](Self::capabilities) and never a backend's name.
///
/// # Promises
/// Every backend keeps these, as far as its capabilities have what they are about; each is a trial of the
/// same name in `lithops-conformance`, which anybody's backend can be put to.
///
/// What it is:
/// - `it_is_registered_under_its_one_word`: the descriptor, [`info`](Self::info) and the section of the
///   configuration agree, and the limits fit each other.
/// - `what_it_cannot_do_is_unsupported`: what its capabilities do not have answers
///   [`Unsupported`](crate::error::ErrorKind::Unsupported).
/// - `check_says_what_it_found`: findings for people, and what to do about those that are bad.
/// - `deploying_twice_changes_nothing`: [`deploy_runtime`](Self::deploy_runtime) is idempotent, and deleted
///   runtimes are gone.
///
/// What it does with calls:
/// - `results_come_back_in_order`, `failures_and_panics_come_back_as_they_are`
/// - `every_call_is_reported_and_reported_once`: by [`invoke`](Self::invoke), before its exit event, which is
///   the last.
/// - `a_call_runs_once_when_nothing_goes_wrong`
/// - `values_up_to_the_limit_come_back`, `values_beyond_the_limit_come_back`: the limit of a message is what
///   the capabilities say, and what is larger goes through the storage.
/// - `events_name_their_activation`: the activation of the calls that were handed over.
/// - `reports_come_as_declared`: while the others run, where they are streamed; with the end, where they are
///   buffered.
/// - `more_workers_than_may_live_are_refused_for_now`: with `RateLimited` or a `Throttled` event; the job is
///   done all the same.
/// - `many_chunks_are_done_by_few_workers`
/// - `a_fed_worker_takes_more_until_it_is_drained`
/// - `dropping_an_invocation_does_not_cancel_it`
/// - `cancel_ends_what_runs`, `cancelling_what_has_ended_is_no_error`
/// - `calls_past_the_deadline_come_back_unstarted`
/// - `an_outcome_is_stored_before_it_is_reported`: of a durable job.
///
/// What a worker is:
/// - `calls_run_in_processes_of_their_own`
/// - `no_more_calls_run_at_once_than_worker_processes`: the rest waits in the worker.
/// - `what_a_call_prints_is_its_own`
/// - `a_call_that_exits_or_dies_fails_alone`, `a_call_that_is_killed_is_tried_again`,
///   `a_call_past_its_timeout_fails_alone`, `a_lost_worker_loses_no_call`: the cause of each end, and nothing
///   more.
/// - `variables_are_set_for_their_job_alone`
/// - `secrets_are_in_no_argument_and_no_variable`
/// - `close_leaves_no_process_behind`
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

    /// Hands calls over to a worker, and returns as soon as the platform has accepted them; what happens then
    /// arrives as events. Every call is reported, or the invocation ends with an exit event; both may happen
    /// late, never silently.
    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation>;

    /// Makes so many workers of a fleet live, of which some may live already; returns the names of all that
    /// do. Only where [`Capabilities::pull`] has terms: such a backend is never asked to
    /// [`invoke`](Self::invoke). More workers than that may live; none is ended. A worker that has said why
    /// it cannot work is an error, so that it is not started for ever. An error that may pass, of kind
    /// `RateLimited` or `Timeout` or with `Retry::Later`, is no end of the job: this is asked for again, with
    /// pauses, for up to five minutes while no worker gets on.
    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Vec<String>> {
        let _ = (launch, workers);
        Err(Error::new(ErrorKind::Unsupported, format!("`{}` has no fleets", self.info().scheme)))
    }

    /// Ends an invocation and its calls. Cancelling what has ended is not an error.
    async fn cancel(&self, id: &InvocationId) -> Result<()>;

    /// Ends an invocation whose worker has reported what it was not given: the worker should end too, because
    /// nothing that it says can be relied on. Where workers cannot be ended, ending the invocation must do.
    async fn discard(&self, id: &InvocationId) -> Result<()> {
        self.cancel(id).await
    }

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at and found.
    pub finding: String,
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
