//! [`Tuning`]: a job's granularity is planned anew as it becomes known how long its calls take.
//!
//! Guided self-scheduling: a job of which nothing is known starts small, with the default of sub-workers, one round
//! of calls for each worker and few workers. With the first reports, and whenever twice as many calls have been
//! measured, the rest is planned anew. Towards the end chunks become smaller, so that workers end together.

use crate::{
    job::Measured,
    plan::{Basis, Plan},
};

/// What is planned anew must be better by this much: changing has a price of its own.
const WORTH: f64 = 0.95;
/// Of a job of which nothing is known, each worker that is started at first should have so many rounds to do.
const FIRST_ROUNDS: u64 = 16;
/// As many workers may start at first whatever there is to do.
const FIRST_WORKERS: u64 = 4;

/// How far a job's granularity has been tuned.
#[derive(Debug)]
pub(crate) struct Tuning {
    /// When so many calls are measured, the rest is planned anew.
    next: u64,
    /// Whether anything is known of the calls.
    informed: bool,
    /// What earlier jobs took.
    earlier: Option<Measured>,
}

impl Tuning {
    /// The tuning of a job that may be tuned.
    pub(crate) fn of(plan: &Plan, earlier: Option<Measured>) -> Option<Self> {
        plan.is_auto().then(|| Self { next: 2, informed: plan.workload().is_some(), earlier })
    }

    /// How many workers may live, before anything is known.
    pub(crate) fn limit(&self, plan: &Plan) -> u64 {
        if self.informed {
            return plan.max_workers() as u64;
        }
        let rounds = plan.calls().div_ceil(plan.worker_processes() as u64);
        rounds.div_ceil(FIRST_ROUNDS).max(FIRST_WORKERS)
    }

    /// Whether enough has been measured since the last time.
    pub(crate) fn is_due(&self, measured: &Measured) -> bool {
        measured.calls() >= self.next
    }

    /// The plan for what is left, if it should be another one than the present.
    pub(crate) fn replan(&mut self, plan: &Plan, measured: &Measured, left: u64) -> Option<Plan> {
        self.next = measured.calls() * 2;
        let basis = Basis::Measured { calls: measured.calls() };
        let workload = match &self.earlier {
            Some(earlier) => earlier.clone().then(measured).workload(basis)?,
            None => measured.cautious_workload(basis)?,
        };
        let first = !std::mem::replace(&mut self.informed, true);
        let present = plan.with_workload(workload.clone());
        let planned = plan.replanned(workload, measured.payload(), left);
        // Sub-workers that are there have cost what they cost: fewer help only where they crowd the CPUs.
        if planned.worker_processes() < present.worker_processes() && !present.is_crowded() {
            return Some(present);
        }
        let (now, then) = (present.for_calls(left).makespan()?, planned.for_calls(left).makespan()?);
        let same = (planned.worker_processes(), planned.chunksize())
            == (present.worker_processes(), present.chunksize());
        let better = then.as_secs_f64() < now.as_secs_f64() * WORTH
            || planned.for_calls(left).cost().usd < present.for_calls(left).cost().usd.map(|usd| usd * WORTH);
        Some(if !same && (first || better) { planned } else { present })
    }

    /// How many calls the next worker that cannot be fed is given, when so many are left.
    pub(crate) fn chunk(&self, plan: &Plan, left: u64) -> u64 {
        let (chunksize, round) = (plan.chunksize() as u64, plan.worker_processes() as u64);
        let workers = plan.for_calls(left).live_workers().max(1);
        // Half of what is left, shared by all: whoever is the last has little to do.
        let share = left.div_ceil(workers * 2).next_multiple_of(round);
        if self.informed && workers >= plan.max_workers() as u64 {
            chunksize.min(share.max(round))
        } else {
            chunksize
        }
    }
}
