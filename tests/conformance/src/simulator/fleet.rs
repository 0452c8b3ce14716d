//! [`fleet`]: one large job that goes well, to see what driver and tracker themselves cost.

use std::{sync::Arc, time::Duration};

use lithops_core::{
    executor::{Assignment, InputQueue, JobState, drive},
    id::JobId,
    protocol::{InputBatch, PayloadsBuilder},
};
use tokio::time::Instant;

use super::{Scenario, Shape, backend::World, clients, judge};

/// How a large job went.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Calls that have an outcome.
    pub done: u64,
    /// Calls that failed.
    pub failed: u64,
    /// How many times calls were run.
    pub executions: u64,
    /// The most workers that lived at once.
    pub most_live: usize,
    /// How long it took by the simulated clock.
    pub virtual_time: Duration,
}

/// Plays a job of `calls` calls on `workers` workers that are fed, without faults.
#[must_use]
pub fn fleet(calls: u64, workers: usize) -> Seen {
    let mut scenario = Scenario::of(0);
    scenario.spare();
    (scenario.shape, scenario.durable) = (Shape::Fed, None);
    (scenario.calls, scenario.max_workers) = (calls, workers);
    (scenario.worker_processes, scenario.chunksize) = (4, 8);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output needs nothing of the system");
    let job = JobId::from_bytes([9; 16]);
    let world = Arc::new(World::new(scenario, job));
    let (progress, virtual_time) = runtime.block_on(play(&world, job));
    let counts = world.counts();
    Seen {
        done: progress.done,
        failed: progress.failed,
        executions: counts.executions,
        most_live: counts.most_live,
        virtual_time,
    }
}

async fn play(world: &Arc<World>, id: JobId) -> (lithops_core::executor::Progress, Duration) {
    let scenario = &world.scenario;
    let backend = clients::backend(world);
    let plan = scenario.plan(backend.capabilities()).expect("the numbers are within the backend's limits");
    let (job, mut commands) = JobState::new(id, "simulated", plan.clone(), Some(scenario.calls));
    let job = Arc::new(job);
    let queue = Arc::new(InputQueue::default());
    let (producing, calls) = (Arc::clone(&queue), scenario.calls);
    tokio::spawn(async move {
        for first in (0..calls).step_by(1 << 12) {
            let mut inputs = PayloadsBuilder::default();
            for call in first..calls.min(first + (1 << 12)) {
                inputs.data().extend_from_slice(&call.to_le_bytes());
                inputs.end_value();
            }
            producing.push_all(&InputBatch { inputs: inputs.finish(), ..InputBatch::default() }).await;
        }
        producing.end(None);
    });
    let assignment = Assignment {
        job: Arc::clone(&job),
        spec: Arc::new(judge::spec(id, scenario)),
        backend,
        queue,
        policy: scenario.policy,
        retry_if: None,
        speculate: false,
        plan,
        durable: None,
        payload_store: None,
        learn: None,
        stop: None,
    };
    let begun = Instant::now();
    drive(assignment, &mut commands).await;
    (job.progress(), begun.elapsed())
}
