//! [`Tuning`]: a job's granularity is planned anew as it becomes known how long its calls take.
//!
//! Guided self-scheduling: a job of which nothing is known starts small, with the default of sub-workers, one round
//! of calls for each worker and few workers. With the first reports, whenever twice as many calls have been measured,
//! and when half as much time again has passed, the rest is planned anew. Towards the end chunks become smaller, so
//! that workers end together.
//!
//! Calls that have ended are shorter than those that have not: the time that sub-workers have spent on calls that are
//! still running counts too, as that of calls which are half way.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    executor::job::Measured,
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
    /// The time that calls have run, ended or not, in a worker that is fed.
    run: Option<Run>,
    look: Instant,
    began: Instant,
}

/// The time that calls have run since the first report.
#[derive(Debug, Clone, Copy)]
struct Run {
    upto: Instant,
    seconds: f64,
    /// What had been measured before.
    before: f64,
}

/// The first look at a job whose reports do not come.
const FIRST_LOOK: Duration = Duration::from_millis(8);

impl Tuning {
    /// The tuning of a job that may be tuned.
    pub(crate) fn of(plan: &Plan, earlier: Option<Measured>) -> Option<Self> {
        let began = Instant::now();
        let informed = plan.workload().is_some();
        plan.is_auto().then(|| Self {
            next: 2,
            informed,
            earlier,
            run: None,
            look: began + FIRST_LOOK,
            began,
        })
    }

    /// How many workers may live, before anything is known.
    pub(crate) fn limit(&self, plan: &Plan) -> u64 {
        if self.informed {
            return plan.max_workers() as u64;
        }
        let rounds = plan.calls().div_ceil(plan.worker_processes() as u64);
        // Calls that nothing is heard of for long are long, and worth more workers.
        let waited = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX).min(32);
        rounds.div_ceil(FIRST_ROUNDS).max(FIRST_WORKERS).saturating_mul(1 << waited)
    }

    /// Whether enough has been measured, or enough time has passed, since the last time.
    pub(crate) fn is_due(&self, measured: &Measured) -> bool {
        measured.calls() >= self.next || self.look <= Instant::now() && measured.calls() > 0
    }

    /// When to look at the job even if nothing is reported.
    pub(crate) fn due(&self) -> Instant {
        self.look
    }

    /// So many calls have been running in fed workers since the last time this was said.
    pub(crate) fn ran(&mut self, running: u64, measured: &Measured) {
        let now = Instant::now();
        match &mut self.run {
            Some(run) => {
                run.seconds += (now - run.upto).as_secs_f64() * running as f64;
                run.upto = now;
            }
            None => self.run = Some(Run { upto: now, seconds: 0.0, before: measured.seconds() }),
        }
    }

    /// It was looked at, whether or not there was anything to plan.
    pub(crate) fn looked(&mut self) {
        if self.look <= Instant::now() {
            self.put_off();
        }
    }

    /// When it is looked at next.
    fn put_off(&mut self) {
        let now = Instant::now();
        self.look = now + ((now - self.began) / 2).max(FIRST_LOOK);
    }

    /// The plan for what is left, if it should be another one than the present.
    pub(crate) fn replan(
        &mut self,
        plan: &Plan,
        measured: &Measured,
        left: u64,
        running: u64,
    ) -> Option<Plan> {
        self.next = measured.calls() * 2;
        self.put_off();
        let spent = self.run.map_or(0.0, |run| run.seconds - (measured.seconds() - run.before));
        let basis = Basis::Measured { calls: measured.calls() };
        let workload = match &self.earlier {
            // They count, but not for so much that a change would not be noticed.
            Some(earlier) => {
                earlier.clone().scaled_to(20 + measured.calls() * 2).then(measured).workload(basis)?
            }
            None => measured.cautious_workload(basis, running, spent)?,
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
