//! The clients of a simulated durable job: the one that starts it, and those that attach.

use std::sync::Arc;

use lithops_core::{
    compute::ComputeBackend,
    error::{Error, Result},
    executor::{InputQueue, JobResources, JobState, Leadership},
    id::JobId,
    journal::{JobRecord, Journal, Lease, Owner},
    plan::Plan,
    protocol::JobSpec,
};
use tokio::task::JoinHandle;

use super::{
    Scenario,
    backend::{SimulatedBackend, World},
};

/// A client that follows the job.
pub(super) struct Client {
    pub(super) job: Arc<JobState>,
    following: JoinHandle<()>,
}

impl Client {
    /// It is killed: nothing of it goes on but the workers it has started.
    pub(super) fn kill(&self) {
        self.following.abort();
    }
}

/// Stores a job in some segments, as its first client does.
pub(super) async fn store(journal: &Journal, record: &mut JobRecord, segments: u64) -> Result<Option<Lease>> {
    let lease = Lease::take(journal, 1, &record.owner).await?;
    let queue = InputQueue::default();
    let per_segment = record.calls.div_ceil(segments);
    for segment in 0..segments {
        let calls = segment * per_segment..((segment + 1) * per_segment).min(record.calls);
        for call in calls {
            queue.push(&call.to_le_bytes());
        }
        record.segments.push(journal.put_inputs(segment, &queue.take()?).await?);
    }
    journal.put_record(record).await?;
    Ok(lease)
}

/// A client that follows a stored job, with a lease if it is the first.
pub(super) fn follow(
    world: &Arc<World>,
    backend: &Arc<dyn ComputeBackend>,
    record: &JobRecord,
    spec: JobSpec,
    plan: Plan,
    lease: Option<Lease>,
) -> Client {
    let (job, commands) = JobState::new(record.job, "simulated", plan.clone(), Some(record.calls));
    let job = Arc::new(job);
    let speculate = world.scenario.speculate;
    let backend = Arc::clone(backend);
    let leadership = Leadership {
        journal: world.journal.clone().expect("the job is durable"),
        record: record.clone(),
        job: Arc::clone(&job),
        resources: Ok::<_, Error>(JobResources {
            backend,
            spec: Arc::new(spec),
            plan,
            speculate,
            payload_store: None,
            learn: None,
            client_fleet: None,
        }),
        owner: owner(),
        cleanup: None,
    };
    let following = tokio::spawn(leadership.follow(lease, commands));
    Client { job, following }
}

/// A backend of its own for each client: they share nothing but the world.
pub(super) fn backend(world: &Arc<World>) -> Arc<dyn ComputeBackend> {
    Arc::new(SimulatedBackend::new(Arc::clone(world)))
}

pub(super) fn record(id: JobId, scenario: &Scenario, plan: &Plan) -> JobRecord {
    JobRecord {
        form: JobRecord::FORM,
        job: id,
        function: "simulated".into(),
        function_name: "simulated".into(),
        calls: scenario.calls,
        chunksize: plan.chunksize() as u64,
        worker_processes: plan.worker_processes() as u64,
        segments: Vec::new(),
        shared: Vec::new(),
        policy: scenario.policy,
        timeout: None,
        env: Vec::new(),
        backend: "simulated".into(),
        owner: owner(),
        memory: None,
        created: 0,
    }
}

/// A process of which it cannot be told whether it lives.
fn owner() -> Owner {
    Owner { machine: None, ..Owner::this_process() }
}
