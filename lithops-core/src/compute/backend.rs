//! [`ComputeBackend`]: the trait every backend implements.

use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};

use super::{
    Capabilities, Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId,
    RuntimeSpec, Scaled, WaitingWorkers,
};
use crate::{
    error::{Error, ErrorKind, Result},
    protocol::{Launch, ProgramId},
};

/// A place where calls run: this machine, a function service, a container service, virtual machines.
///
/// Planner, executor and tests read [`capabilities`](Self::capabilities) and never a backend's name.
///
/// # Promises
/// Every backend keeps these promises, as far as its capabilities include what a promise is about. Each
/// promise is a trial of the same name in `lithops-conformance`, which every backend can be tested with.
///
/// What it is:
/// - `it_is_registered_under_its_one_word`: the descriptor, [`info`](Self::info) and the section of the
///   configuration agree, and the limits fit each other.
/// - `what_it_cannot_do_is_unsupported`: a method whose capability is missing answers
///   [`Unsupported`](crate::error::ErrorKind::Unsupported).
/// - `check_says_what_it_found`: findings for people, and what to do about each problem.
/// - `deploying_twice_changes_nothing`: [`deploy_runtime`](Self::deploy_runtime) is idempotent, and deleted
///   runtimes are gone.
///
/// What it does with calls:
/// - `results_come_back_in_order`, `failures_and_panics_come_back_as_they_are`
/// - `every_call_is_reported_and_reported_once`: by the events of [`invoke`](Self::invoke), before the exit
///   event, which is the last.
/// - `a_call_runs_once_when_nothing_goes_wrong`
/// - `values_up_to_the_limit_come_back`, `values_beyond_the_limit_come_back`: a message may be as long as the
///   capabilities say, and longer payloads go through the storage.
/// - `events_name_their_activation`: the activation of the calls that were handed over.
/// - `reports_come_as_declared`: streamed reports come while other calls run; buffered ones come with the
///   end.
/// - `more_workers_than_may_live_are_refused_for_now`: with `RateLimited` or a `Throttled` event; the job
///   still completes.
/// - `many_chunks_are_done_by_few_workers`
/// - `a_fed_worker_takes_more_until_it_is_drained`
/// - `dropping_an_invocation_does_not_cancel_it`
/// - `cancel_ends_what_runs`, `cancelling_what_has_ended_is_no_error`
/// - `calls_past_the_deadline_come_back_unstarted`
/// - `an_outcome_is_stored_before_it_is_reported`: of a durable job.
///
/// What a worker is:
/// - `calls_run_in_processes_of_their_own`
/// - `no_more_calls_run_at_once_than_worker_processes`: the other calls wait in the worker.
/// - `what_a_call_prints_is_its_own`
/// - `a_call_that_exits_or_dies_fails_alone`, `a_call_that_is_killed_is_tried_again`,
///   `a_call_past_its_timeout_fails_alone`, `a_lost_worker_loses_no_call`: the end of a process harms only
///   the call that caused it.
/// - `variables_are_set_for_their_job_alone`
/// - `secrets_are_in_no_argument_and_no_variable`
/// - `close_leaves_no_process_behind`
///
/// What a fleet is, where workers pull:
/// - `scaling_twice_starts_nothing_twice`: [`scale`](Self::scale) counts the workers that run or are coming.
/// - `a_closed_fleet_ends`, `a_fleet_whose_client_is_gone_ends`: no worker outlives its use.
/// - `what_waits_says_why`: each worker that was asked for runs, is coming, or waits with a reason.
/// - `a_worker_that_must_leave_hands_back`: the platform tells a worker before it ends it, and what the worker
///   held goes on elsewhere at once.
/// - `a_worker_that_cannot_serve_ends_the_job_with_its_words`
/// - `launching_takes_no_secret`: the launch document is all that a worker is started with.
/// - `what_a_client_has_left_is_listed_and_removed`: [`leftovers`](Self::leftovers) has the workers of a fleet whose
///   client is gone, and nothing runs of them after [`remove_leftover`](Self::remove_leftover).
#[async_trait]
pub trait ComputeBackend: Debug + Send + Sync + 'static {
    /// Which backend this is, and where it runs.
    fn info(&self) -> BackendInfo;

    /// What the backend can do, and its limits.
    fn capabilities(&self) -> &Capabilities;

    /// The capabilities of workers with another memory, in MB. They are the same where memory is not sold.
    ///
    /// # Errors
    /// When the platform does not sell workers with this memory.
    fn sized(&self, memory: u64) -> Result<Capabilities> {
        let _ = memory;
        Ok(self.capabilities().clone())
    }

    /// Builds what [`deploy_runtime`](Self::deploy_runtime) needs: a package, an image.
    async fn build_runtime(&self, spec: &RuntimeSpec) -> Result<Package>;

    /// Deploys a runtime, so that workers can start. Idempotent: deploying a runtime that is deployed changes
    /// nothing.
    async fn deploy_runtime(&self, spec: &RuntimeSpec) -> Result<Runtime>;

    /// The runtimes that are deployed on the platform.
    async fn list_runtimes(&self) -> Result<Vec<Runtime>>;

    /// Removes a runtime from the platform.
    async fn delete_runtime(&self, id: &RuntimeId) -> Result<()>;

    /// Hands calls over to a worker, and returns as soon as the platform has accepted them; later events
    /// arrive in the invocation's stream. Every call is reported, or the invocation ends with an exit event;
    /// both may happen late, but never not at all.
    async fn invoke(&self, request: InvokeRequest) -> Result<Invocation>;

    /// What the workers wait for that [`invoke`](Self::invoke) was asked for and that have not come, where workers are fed
    /// and do not start at once. Asked every second or so; it must not wait for the platform.
    fn awaited(&self) -> Vec<WaitingWorkers> {
        Vec::new()
    }

    /// Removes what the platform has no room for of workers that no [`invoke`](Self::invoke) waits for any more. Called when
    /// a job has finished before the workers have come that it has asked for.
    ///
    /// # Errors
    /// When the platform refuses it.
    async fn withdraw(&self) -> Result<()> {
        Ok(())
    }

    /// Asks the platform for workers of a fleet until `workers` of them run, counting those that run or are
    /// coming already, and returns the state of the fleet at once, without waiting for a worker. Called only
    /// where [`Capabilities::pull`] is set, every second or so and after [changes](Self::fleet_changes): such a backend
    /// is never asked to [`invoke`](Self::invoke). More workers may run, and none is ended.
    ///
    /// # Errors
    /// When workers can never run. A platform without room is no error: such workers are
    /// [`waiting`](Scaled::waiting). An error that may pass, of kind `RateLimited` or `Timeout` or with
    /// `Retry::Later`, does not end the job: the caller repeats the call, with pauses, for up to five minutes
    /// while no worker makes progress.
    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Scaled> {
        let _ = (launch, workers);
        Err(Error::new(ErrorKind::Unsupported, format!("`{}` has no fleets", self.info().scheme)))
    }

    /// An item whenever the platform tells by itself that a worker of a fleet has ended or is about to: the caller then
    /// asks to [`scale`](Self::scale) at once, so that another worker takes its place sooner than with the next regular
    /// request. Items may come for nothing. Nothing comes where the platform only answers.
    fn fleet_changes(&self, launch: &Launch) -> BoxStream<'static, ()> {
        let _ = launch;
        stream::pending().boxed()
    }

    /// Removes what the platform would still start of a fleet that has ended: workers that are coming or wait. That the
    /// fleet has ended stands in the storage already, so that workers that run end by themselves. Called when the client
    /// needs no workers any more, at Ctrl-C too.
    ///
    /// # Errors
    /// When the platform refuses it.
    async fn fleet_ended(&self, launch: &Launch) -> Result<()> {
        let _ = launch;
        Ok(())
    }

    /// Stores the program that the workers of a fleet fetch, and says which one it is; `None` where the workers
    /// themselves are the program. Called before each job of a fleet.
    ///
    /// # Errors
    /// When the program cannot run on the platform, or cannot be stored.
    async fn fleet_program(&self) -> Result<Option<ProgramId>> {
        Ok(None)
    }

    /// Ends an invocation and its calls. Cancelling an invocation that has ended is not an error.
    async fn cancel(&self, id: &InvocationId) -> Result<()>;

    /// Ends an invocation whose worker has reported calls that it was not given. The worker should end too,
    /// because none of its reports can be relied on. Where workers cannot be ended, ending the invocation
    /// must be enough.
    async fn discard(&self, id: &InvocationId) -> Result<()> {
        self.cancel(id).await
    }

    /// What the platform still runs, or would still start, and what a client may have left behind that was killed:
    /// workers of fleets, and what they were started with. Everything of a fleet is listed with its fleet
    /// ([`Leftover::fleet`]), whether its client lives or not: the caller looks for the client in the storage. Anything
    /// else is listed only if nothing uses it any more. Deployed runtimes are not listed.
    ///
    /// # Errors
    /// When the platform cannot be asked.
    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    /// Removes something that [`leftovers`](Self::leftovers) has listed: workers are ended at once. Removing what is
    /// gone already is no error.
    ///
    /// # Errors
    /// When the platform refuses it.
    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        let problem = format!("`{}` cannot remove `{}`", self.info().scheme, leftover.id);
        Err(Error::new(ErrorKind::Unsupported, problem))
    }

    /// Looks for problems that would keep jobs from running, and says what to do about each.
    async fn check(&self) -> Vec<Check>;

    /// Looks for the problems that only a worker can see: starts one on the platform, which tries the storage, and ends it.
    /// That costs what the platform takes for it. Empty where a worker is no more than a process of this machine.
    async fn check_live(&self) -> Vec<Check> {
        Vec::new()
    }

    /// Ends what the backend keeps running: warm workers, fleets.
    async fn close(&self, mode: CloseMode) -> Result<()>;
}

/// The identity of a backend, for messages and checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendInfo {
    /// The backend's one word: its scheme, feature and section of the configuration.
    pub scheme: &'static str,
    /// The region, for a cloud; `None` elsewhere.
    pub region: Option<String>,
    /// Where the backend runs, for people.
    pub location: String,
}

/// A finding of [`ComputeBackend::check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked, and the result.
    pub finding: String,
    /// How serious the finding is.
    pub severity: Severity,
    /// What to do about it; `None` when nothing is to be done.
    pub remedy: Option<String>,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// There is no problem.
    Fine,
    /// Jobs run, but not as well as they could.
    Warning,
    /// Jobs cannot run.
    Error,
}

/// How a backend is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseMode {
    /// Running calls may end first.
    Drain,
    /// Running calls are ended at once.
    Now,
}
