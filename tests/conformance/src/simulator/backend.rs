//! The simulated backend, and the world that counts what really happened.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use lithops_core::{
    compute::{
        BackendInfo, Capabilities, Check, CloseMode, ComputeBackend, Feed, FeedCommand, FeedSink, Invocation,
        InvocationId, InvokeRequest, Package, Runtime, RuntimeId, RuntimeSpec,
    },
    error::{Error, ErrorKind, Result},
    id::JobId,
    journal::Journal,
    storage::StorageClient,
};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    Scenario, Shape,
    random::Random,
    store::SimulatedStore,
    worker::{SimulatedWorker, throttled},
};

/// What really happened, which driver and tracker may not know.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    /// What is stored of the job, when it is durable.
    pub(super) journal: Option<Journal>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    live: usize,
    pub(super) most_live: usize,
    pub(super) executions: u64,
    pub(super) tries: HashMap<u64, u32>,
    pub(super) highest_attempt: HashMap<u64, u32>,
    invokes: u64,
}

impl World {
    pub(super) fn new(scenario: Scenario, job: JobId) -> Self {
        let storage = || StorageClient::new(Arc::new(SimulatedStore::new(&scenario)), "simulated");
        let journal = scenario.durable.map(|_| Journal::new(&storage(), job));
        Self { journal, scenario, counts: Mutex::default() }
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn executed(&self, call: u64, attempt: u32) {
        let mut counts = self.counts();
        counts.executions += 1;
        // Where nothing goes wrong nobody asks how often a call was tried.
        if !self.scenario.is_faulty() {
            return;
        }
        *counts.tries.entry(call).or_default() += 1;
        let highest = counts.highest_attempt.entry(call).or_default();
        *highest = attempt.max(*highest);
    }

    /// How often a call has been run.
    pub(super) fn tries(&self, call: u64) -> u32 {
        self.counts().tries.get(&call).copied().unwrap_or(0)
    }

    /// A worker begins to live, until what is returned is dropped.
    fn live(self: &Arc<Self>) -> Live {
        let mut counts = self.counts();
        counts.live += 1;
        counts.most_live = counts.most_live.max(counts.live);
        Live(Arc::clone(self))
    }
}

/// A worker that lives.
#[derive(Debug)]
pub(super) struct Live(Arc<World>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.counts().live -= 1;
    }
}

/// A backend that misbehaves as its scenario says.
#[derive(Debug)]
pub(super) struct SimulatedBackend {
    world: Arc<World>,
    capabilities: Capabilities,
    running: Mutex<HashMap<InvocationId, AbortHandle>>,
}

impl SimulatedBackend {
    pub(super) fn new(world: Arc<World>) -> Self {
        let capabilities = world.scenario.capabilities();
        Self { world, capabilities, running: Mutex::default() }
    }
}

struct Commands(mpsc::UnboundedSender<FeedCommand>);

impl FeedSink for Commands {
    fn send(&self, command: FeedCommand) {
        // The worker may be gone.
        let _ = self.0.send(command);
    }
}

#[async_trait]
impl ComputeBackend for SimulatedBackend {
    fn info(&self) -> BackendInfo {
        BackendInfo { scheme: "simulated", region: None, location: "virtual time".into() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        Err(unsupported())
    }

    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        Err(unsupported())
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        Err(unsupported())
    }

    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        Err(unsupported())
    }

    async fn invoke(&self, mut request: InvokeRequest) -> Result<Invocation> {
        let number = {
            let mut counts = self.world.counts();
            counts.invokes += 1;
            counts.invokes
        };
        let scenario = &self.world.scenario;
        let mut random = Random::new(scenario.seed.rotate_left(17) ^ number);
        if random.happens(scenario.throttled) {
            return Err(throttled());
        }
        let (events, receiver) = mpsc::unbounded_channel();
        let (sender, commands) = mpsc::unbounded_channel();
        let id = InvocationId(format!("simulated-{number}"));
        let calls = request.calls.remove(0);
        // Where the platform tells of every end, a worker that never starts is told of too.
        let never = random.happens(scenario.never_starts);
        let live = self.world.live();
        let world = Arc::clone(&self.world);
        let worker = SimulatedWorker { number, world, random, events, commands, held_back: None };
        let world = Arc::clone(&self.world);
        let task = tokio::spawn(async move {
            if !never {
                return worker.live(calls, live).await;
            }
            match world.scenario.shape {
                Shape::Fed => tokio::time::sleep(std::time::Duration::from_secs(3)).await,
                Shape::Streamed | Shape::Buffered => worker.events.closed().await,
            }
            drop(live);
        });
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), task.abort_handle());
        let events =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        let feed = self.capabilities.feed.then(|| Feed::new(Arc::new(Commands(sender))));
        Ok(Invocation { id, events: events.boxed(), feed })
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        let task = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        // Where reports may be late, cancelling is too: the worker goes on, and what it reports comes too late.
        if let Some(task) = task
            && self.world.scenario.delayed == 0
        {
            task.abort();
        }
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn close(&self, _: CloseMode) -> Result<()> {
        Ok(())
    }
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the simulated backend has no runtimes")
}
