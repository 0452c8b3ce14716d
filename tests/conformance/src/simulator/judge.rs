//! [`run`]: plays a scenario and judges it.

use std::{sync::Arc, time::Duration};

use lithops_core::{
    compute::ComputeBackend,
    error::{CallError, CallErrorKind},
    executor::{Assignment, drive_with},
    id::JobId,
    job::{InputQueue, JobState, Tracker},
    plan::PlanRequest,
    protocol::{JobSpec, Tag},
};
use tokio::time::{sleep, timeout};

use super::{
    Sabotage, Scenario, Shape,
    backend::{SimulatedBackend, World},
    broken::Broken,
};

/// Longer than any run can take that ends: then it is a hang.
const FOR_EVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// The job did not end.
    Hang,
    /// A call has no outcome, or a wrong one.
    WrongOutcome,
    /// A call was committed twice.
    CommittedTwice,
    /// A call was tried more often than its budgets allow.
    OverBudget,
    /// More workers lived at once than may.
    TooManyWorkers,
    /// A chunk was taken from a worker that kept its lease.
    TakenTooEarly,
    /// The job ended with an error of its own.
    JobFailed,
}

/// How a run went.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What was broken, and how it showed; nothing when all is well.
    pub violation: Option<(Violation, String)>,
    /// How many times calls were run.
    pub executions: u64,
}

/// Plays a scenario in virtual time, with a sound tracker or a broken one.
#[must_use]
pub fn run(scenario: &Scenario, sabotage: Option<Sabotage>) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output needs nothing of the system");
    let world = Arc::new(World::new(scenario.clone()));
    let violation = runtime.block_on(play(&world, sabotage)).err();
    let executions = world.counts().tries.values().map(|tries| u64::from(*tries)).sum();
    Verdict { violation, executions }
}

async fn play(world: &Arc<World>, sabotage: Option<Sabotage>) -> Result<(), (Violation, String)> {
    let scenario = &world.scenario;
    let backend: Arc<dyn ComputeBackend> = Arc::new(SimulatedBackend::new(Arc::clone(world)));
    let plan = PlanRequest {
        calls: scenario.calls,
        worker_processes: Some(scenario.worker_processes),
        chunksize: Some(scenario.chunksize),
        max_workers: Some(scenario.max_workers),
        capabilities: backend.capabilities(),
    };
    let plan = plan.plan().map_err(|error| (Violation::JobFailed, error.to_string()))?;
    let id = JobId::from_bytes([7; 16]);
    let (job, mut commands) = JobState::new(id, "simulated", plan.clone(), Some(scenario.calls));
    let job = Arc::new(job);
    let queue = Arc::new(InputQueue::default());
    (0..scenario.calls).for_each(|call| assert!(queue.push(&call.to_le_bytes()), "the queue is open"));
    queue.end(None);
    let assignment = Assignment {
        job: Arc::clone(&job),
        spec: Arc::new(spec(id, scenario)),
        backend,
        queue,
        policy: scenario.policy,
        retry_if: None,
        speculate: false,
        plan,
        durable: None,
        stop: None,
    };
    let tracker = Tracker::new(scenario.policy);
    match sabotage {
        None => drop(tokio::spawn(async move { drive_with(assignment, tracker, &mut commands).await })),
        Some(sabotage) => {
            let tracker = Broken::new(tracker, sabotage);
            drop(tokio::spawn(async move { drive_with(assignment, tracker, &mut commands).await }));
        }
    }
    if let Some(after) = scenario.cancelled_after {
        sleep(after).await;
        job.cancel();
    }
    let finished = timeout(FOR_EVER, job.wait_for(|_, progress| progress.is_finished())).await;
    match finished {
        Err(_) => return Err((Violation::Hang, format!("{:?}", job.progress()))),
        Ok(Err(error)) => return Err((Violation::JobFailed, error.to_string())),
        Ok(Ok(())) => {}
    }
    // What comes late must change nothing any more.
    sleep(Duration::from_secs(3600)).await;
    judge(world, &job)
}

fn spec(job: JobId, scenario: &Scenario) -> JobSpec {
    JobSpec {
        job,
        function: "simulated".into(),
        worker_processes: u32::try_from(scenario.worker_processes).unwrap_or(u32::MAX),
        timeout: None,
        at_most_once: false,
        env: Vec::new(),
        shared: Vec::new(),
        storage: None,
        log_limit: 0,
        durable: None,
        depth: 0,
        parent: None,
    }
}

fn judge(world: &World, job: &JobState) -> Result<(), (Violation, String)> {
    let scenario = &world.scenario;
    let repeated = job.read(lithops_core::job::Outcomes::repeated);
    if repeated > 0 {
        return Err((Violation::CommittedTwice, format!("{repeated} outcomes")));
    }
    let may_fail = scenario.policy.retries;
    // Workers die by chance: a call may have been alone with death too often.
    let mortal = scenario.dies_before_report + scenario.dies_after_report + scenario.never_starts > 0;
    for call in 0..scenario.calls {
        let report =
            job.report_of(call).ok_or_else(|| (Violation::WrongOutcome, format!("call {call} has none")))?;
        let right = report.tag(0) == Tag::Ok && report.value(0) == call.to_le_bytes();
        // Each failure must have its true cause, and a reason in the scenario.
        let error =
            (report.tag(0) == Tag::Failed).then(|| rmp_serde::from_slice::<CallError>(report.value(0)));
        let excused = match error {
            Some(Ok(error)) => match error.kind() {
                CallErrorKind::Failed => scenario.failures_of(call) > may_fail,
                CallErrorKind::WorkerLost => scenario.is_poisonous(call) || mortal,
                CallErrorKind::Cancelled => scenario.cancelled_after.is_some(),
                _ => false,
            },
            _ => false,
        };
        if !right && !excused {
            return Err((Violation::WrongOutcome, format!("call {call}: {:?}", report.tag(0))));
        }
        if report.tag(0) == Tag::Ok && report.value(0) != call.to_le_bytes() {
            return Err((Violation::WrongOutcome, format!("call {call} has the value of another")));
        }
    }
    let counts = world.counts();
    // The first loss is for free, the second makes a suspect; from then on each loss halves the range, or counts.
    let halvings = u64::BITS - scenario.calls.leading_zeros();
    let most = 1 + may_fail + scenario.policy.losses + 2 + halvings;
    if let Some((call, attempt)) = counts.highest_attempt.iter().find(|(_, attempt)| **attempt > most) {
        return Err((Violation::OverBudget, format!("call {call} was on attempt {attempt} of {most}")));
    }
    // A worker that was given up because nothing was heard of it may still live; then the count is not the driver's.
    let silent =
        scenario.never_starts + scenario.delayed + scenario.dies_before_report + scenario.dies_after_report;
    let sure = scenario.shape == Shape::Fed || silent + scenario.poisonous == 0;
    if sure && counts.most_live > scenario.max_workers {
        return Err((Violation::TooManyWorkers, format!("{} of {}", counts.most_live, scenario.max_workers)));
    }
    Ok(())
}
