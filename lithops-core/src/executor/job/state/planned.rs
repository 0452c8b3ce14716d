//! What a job was planned to be, and what its workers have used and cost.

use tokio::time::Instant;

use super::job_state::{Inner, JobState};
use crate::{
    executor::job::{Account, Spending},
    plan::{Plan, Workload},
};

impl Inner {
    /// Until when workers cost the job something.
    fn workers_until(&self) -> Instant {
        self.finished.unwrap_or_else(Instant::now)
    }
}

impl JobState {
    /// The present plan, for the number of calls that is known so far.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let inner = self.lock();
        inner.plan.for_calls(inner.known)
    }

    /// The plan with which the job was started, for the number of calls that is known so far.
    pub(crate) fn first_plan(&self) -> Plan {
        let inner = self.lock();
        inner.first_plan.for_calls(inner.known)
    }

    pub(crate) fn set_plan(&self, plan: Plan) {
        self.lock().plan = plan;
    }

    /// Sets the workload from the history, which was read after the start. A workload that is already there
    /// is kept: it is better.
    pub(crate) fn expect(&self, workload: &Workload) {
        let mut inner = self.lock();
        if inner.first_plan.workload().is_none() {
            inner.first_plan = inner.first_plan.with_workload(workload.clone());
        }
        if inner.plan.workload().is_none() {
            inner.plan = inner.plan.with_workload(workload.clone());
        }
    }

    /// What the job's workers have used so far, including those that still live.
    pub(crate) fn account(&self) -> Account {
        let inner = self.lock();
        inner.workers.account(inner.workers_until(), &inner.plan)
    }

    /// What the job's workers cost while they run.
    #[must_use]
    pub fn spending(&self) -> Spending {
        let inner = self.lock();
        inner.workers.spending(inner.workers_until(), &inner.plan)
    }

    /// What the workers cost that ran on when the job ended.
    pub(crate) fn stayed(&self) -> Spending {
        self.lock().workers.stayed()
    }

    /// Notes that a worker was requested.
    pub(crate) fn worker_began(&self, number: u64) {
        self.lock().workers.began(number);
    }

    /// Notes what a live worker costs in an hour, in US dollars.
    pub(crate) fn worker_costs(&self, number: u64, hour_usd: f64) {
        self.lock().workers.costs(number, hour_usd);
    }

    /// Notes that a worker has ended. With `was_started` false it never ran, and is not counted.
    pub(crate) fn worker_ended(&self, number: u64, was_started: bool) {
        let mut inner = self.lock();
        let until = inner.workers_until();
        let Inner { workers, plan, .. } = &mut *inner;
        workers.ended(number, was_started, until, plan);
    }

    /// Notes that the live workers are the job's no more, and run on.
    pub(crate) fn workers_stay(&self) {
        let mut inner = self.lock();
        let until = inner.workers_until();
        let Inner { workers, plan, .. } = &mut *inner;
        workers.stay(until, plan);
    }

    /// Counts chunks that were handed over.
    pub(crate) fn handed_over(&self, chunks: u64) {
        self.lock().workers.handed_over(chunks);
    }
}
