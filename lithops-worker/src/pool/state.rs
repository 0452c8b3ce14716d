//! [`Pool`]: all state of the pool, and what is asked of it from everywhere.

use std::collections::{BTreeMap, HashMap};

use lithops_core::{
    error::{Error, ErrorKind},
    id::JobId,
    memory::Regions,
    protocol::{Outbox, Setup},
};
use rustix::process::Signal;
use tokio::sync::mpsc;

use super::{
    jobs::{Due, JobOwner, PoolJob},
    outgoing::Outgoing,
    slots::{Memory, Slot, SlotEvent},
    starts::Starts,
    storage_tasks::StorageTasks,
};

/// All state of the pool. Everything that happens goes through it, one thing after another.
#[derive(Debug)]
pub struct Pool {
    pub(super) setup: Setup,
    pub(super) outgoing: Outgoing,
    pub(super) jobs: HashMap<JobId, PoolJob>,
    /// Until when calls may run, once the platform has told the worker to leave.
    pub(super) leaving: Option<Due>,
    /// How often a job was given a sub-worker.
    pub(super) turns: u64,
    /// The most calls that get on with their work at once: the `worker_processes` of the client's job that has most.
    pub(super) most: usize,
    /// The highest that `most` ever was.
    pub(super) widest: usize,
    pub(super) slots: BTreeMap<u64, Slot>,
    pub(super) starts: Starts,
    /// What happens to the slots.
    pub(super) events: mpsc::UnboundedReceiver<SlotEvent>,
    pub(super) memory: Memory,
    pub(super) storage: StorageTasks,
    /// Shared memory for values that sub-workers lend and the client cannot borrow.
    pub(super) regions: Regions,
}

impl Pool {
    /// An empty pool that reports to `client`; must be called inside a runtime.
    #[must_use]
    pub fn new(setup: Setup, client: Outbox) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            setup,
            outgoing: Outgoing::new(client),
            jobs: HashMap::new(),
            leaving: None,
            turns: 0,
            most: 0,
            widest: 0,
            slots: BTreeMap::new(),
            starts: Starts::new(sender),
            events,
            memory: Memory::of_this_process(),
            storage: StorageTasks::new(),
            regions: Regions::default(),
        }
    }

    /// Whether a job is there and is an owner's: none may end or feed what another has started.
    pub(super) fn is_of(&self, owner: JobOwner, job: JobId) -> bool {
        self.owner_of(job) == Some(owner)
    }

    /// Whether the outcomes of a job are stored before they are reported.
    pub(super) fn is_durable(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.commits.is_some())
    }

    /// The owner of a job; `None` when the job is forgotten.
    pub(super) fn owner_of(&self, job: JobId) -> Option<JobOwner> {
        self.jobs.get(&job).map(|job| job.owner)
    }

    /// Where frames about a job are collected.
    pub(super) fn out_of(&mut self, job: JobId) -> &mut Vec<u8> {
        let owner = self.owner_of(job);
        self.outgoing.to(owner)
    }

    /// Counts anew how many calls may get on with their work at once.
    pub(super) fn count_most(&mut self) {
        let of_client = self.jobs.values().filter(|job| job.owner == JobOwner::Client);
        // Without a client's job the number stays as it is, for jobs that outlive the call that has started them.
        if let Some(most) = of_client.map(|job| job.worker_processes).max() {
            self.most = most;
            self.widest = self.widest.max(most);
        }
    }

    /// Whether time matters: a sub-worker has calls, is starting or is ending, or a start is to be tried again.
    pub(super) fn is_busy(&self) -> bool {
        let waits = self.starts.come_later() && self.jobs.values().any(PoolJob::waits);
        waits
            || self
                .slots
                .values()
                .any(|slot| !slot.batches.is_empty() || slot.ending.is_some() || !slot.ready)
    }

    /// Whether calls wait or run.
    pub(super) fn has_calls(&self) -> bool {
        self.jobs.values().any(PoolJob::waits) || self.slots.values().any(|slot| !slot.batches.is_empty())
    }

    /// Ends all sub-workers, at once.
    pub(super) fn end(&self) {
        self.slots.values().for_each(|slot| slot.signal(Signal::KILL));
    }
}

/// The error of a frame that its sender may not send, or not now.
pub(super) fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the worker was sent {what}"))
}
