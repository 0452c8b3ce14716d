//! [`run`]: plays a scenario and judges it.

use std::{sync::Arc, time::Duration};

use lithops_core::{
    compute::ComputeBackend,
    error::{CallError, CallErrorKind},
    executor::{Assignment, InputQueue, JobState, drive_with},
    id::JobId,
    plan::Plan,
    protocol::{JobSpec, Tag},
    tracker::Tracker,
};
use tokio::time::{sleep, timeout};

use super::{Fate, Sabotage, Scenario, Shape, backend::World, broken, clients};

/// Longer than any run can take that ends: then it is a hang.
const FOR_EVER: Duration = Duration::from_secs(12 * 24 * 3600);

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
    /// A chunk that was handed back was claimed only when its lease could have expired.
    WaitedForLease,
    /// A call was begun by a worker that had handed it back.
    RunsAfterLeaving,
    /// The job ended with an error of its own.
    JobFailed,
}

/// A promise that was broken, and how it showed.
type Broken = (Violation, String);

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
    let world = Arc::new(World::new(scenario.clone(), JOB));
    let violation = runtime.block_on(play(&world, sabotage)).err();
    let executions = world.counts().executions;
    Verdict { violation, executions }
}

const JOB: JobId = JobId::from_bytes([7; 16]);

async fn play(world: &Arc<World>, sabotage: Option<Sabotage>) -> Result<(), Broken> {
    let scenario = &world.scenario;
    let backend = clients::backend(world);
    let plan = scenario.plan(backend.capabilities());
    let plan = plan.map_err(|error| (Violation::JobFailed, error.to_string()))?;
    let jobs = match scenario.durable {
        None => vec![session(world, backend, plan, sabotage).await?],
        Some(fate) => durable(world, fate, plan).await?,
    };
    // What comes late must change nothing any more.
    sleep(Duration::from_secs(3600)).await;
    jobs.iter().try_for_each(|job| judge(world, job))?;
    jobs.windows(2).try_for_each(|jobs| agree(scenario, &jobs[0], &jobs[1]))
}

async fn session(
    world: &Arc<World>,
    backend: Arc<dyn ComputeBackend>,
    plan: Plan,
    sabotage: Option<Sabotage>,
) -> Result<Arc<JobState>, Broken> {
    let scenario = &world.scenario;
    let (job, mut commands) = JobState::new(JOB, "simulated", plan.clone(), Some(scenario.calls));
    let job = Arc::new(job);
    let queue = Arc::new(InputQueue::default());
    (0..scenario.calls).for_each(|call| assert!(queue.push(&call.to_le_bytes()), "the queue is open"));
    queue.end(None);
    let assignment = Assignment {
        job: Arc::clone(&job),
        spec: Arc::new(spec(JOB, scenario)),
        backend,
        queue,
        policy: scenario.policy,
        retry_if: None,
        speculate: scenario.speculate,
        plan,
        durable: None,
        payload_store: None,
        learn: None,
        stop: None,
    };
    let tracker = Tracker::new(scenario.policy);
    match sabotage {
        None => drop(tokio::spawn(async move { drive_with(assignment, tracker, &mut commands).await })),
        Some(sabotage) => {
            let tracker = broken::Broken::new(tracker, sabotage);
            drop(tokio::spawn(async move { drive_with(assignment, tracker, &mut commands).await }));
        }
    }
    if let Some(after) = scenario.cancelled_after {
        sleep(after).await;
        job.cancel();
    }
    finished(&job).await?;
    Ok(job)
}

/// A durable job with its clients; gives what each of those that have lived has seen.
async fn durable(world: &Arc<World>, fate: Fate, plan: Plan) -> Result<Vec<Arc<JobState>>, Broken> {
    let scenario = &world.scenario;
    let journal = world.journal.as_ref().expect("the job is durable");
    let mut record = clients::record(JOB, scenario, &plan);
    let failed = |error: lithops_core::error::Error| (Violation::JobFailed, error.to_string());
    let lease = clients::store(journal, &mut record, 1 + scenario.seed % 3).await.map_err(failed)?;
    let follow = |lease| {
        let backend = clients::backend(world);
        clients::follow(world, &backend, &record, spec(JOB, scenario), plan.clone(), lease)
    };
    let first = follow(lease);
    let second = match fate {
        Fate::Lives => None,
        Fate::Killed(killed, attached) => {
            sleep(killed).await;
            first.kill();
            sleep(attached.saturating_sub(killed)).await;
            Some(follow(None))
        }
        Fate::Watched(attached) => {
            sleep(attached).await;
            Some(follow(None))
        }
    };
    if let Some(after) = scenario.cancelled_after {
        sleep(after).await;
        second.as_ref().unwrap_or(&first).job.cancel();
    }
    let mut jobs = Vec::new();
    if !matches!(fate, Fate::Killed(..)) {
        finished(&first.job).await?;
        jobs.push(Arc::clone(&first.job));
    }
    if let Some(second) = &second {
        finished(&second.job).await?;
        jobs.push(Arc::clone(&second.job));
    }
    if let (Fate::Killed(..), Some(second)) = (fate, &second) {
        // What the first had seen before it was killed was final.
        agree(scenario, &first.job, &second.job)?;
    }
    Ok(jobs)
}

async fn finished(job: &JobState) -> Result<(), Broken> {
    match timeout(FOR_EVER, job.wait_for(|_, progress| progress.is_finished())).await {
        Err(_) => Err((Violation::Hang, format!("{:?}", job.progress()))),
        Ok(Err(error)) => Err((Violation::JobFailed, error.to_string())),
        Ok(Ok(())) => Ok(()),
    }
}

/// Two clients have seen the same outcomes: of the same execution.
fn agree(scenario: &Scenario, one: &JobState, other: &JobState) -> Result<(), Broken> {
    for call in 0..scenario.calls {
        let (Some(one), Some(other)) = (one.report_of(call), other.report_of(call)) else { continue };
        let same = one.tag(0) == other.tag(0) && one.value(0) == other.value(0);
        if !same || one.header.pid != other.header.pid || one.header.run.attempt != other.header.run.attempt {
            let how = format!("call {call}: {:?} and {:?}", one.header, other.header);
            return Err((Violation::CommittedTwice, how));
        }
    }
    Ok(())
}

pub(super) fn spec(job: JobId, scenario: &Scenario) -> JobSpec {
    JobSpec {
        job,
        function: "simulated".into(),
        worker_processes: u32::try_from(scenario.worker_processes).unwrap_or(u32::MAX),
        timeout: None,
        at_most_once: false,
        env: Vec::new(),
        shared: Vec::new(),
        stored_shared: Vec::new(),
        inline_limit: None,
        storage: None,
        log_limit: 0,
        live_logs: false,
        durable: None,
        depth: 0,
        parent: None,
    }
}

fn judge(world: &World, job: &JobState) -> Result<(), Broken> {
    let scenario = &world.scenario;
    let repeated = job.read(lithops_core::executor::Outcomes::repeated);
    if repeated > 0 {
        return Err((Violation::CommittedTwice, format!("{repeated} outcomes")));
    }
    let may_fail = scenario.policy.retries;
    // Workers die by chance: a call may have been alone with death too often.
    let deaths = scenario.dies_before_report + scenario.dies_after_report + scenario.never_starts;
    let mortal = deaths + scenario.lost > 0;
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
    let silent = deaths + scenario.delayed + scenario.lost + scenario.poisonous;
    // A killed client leaves some.
    let sure = match (scenario.shape, scenario.durable) {
        (_, Some(Fate::Killed(..))) => false,
        (Shape::Fed, _) => true,
        (Shape::Streamed | Shape::Buffered, _) => silent == 0,
    };
    if sure && counts.most_live > scenario.max_workers {
        return Err((Violation::TooManyWorkers, format!("{} of {}", counts.most_live, scenario.max_workers)));
    }
    Ok(())
}
