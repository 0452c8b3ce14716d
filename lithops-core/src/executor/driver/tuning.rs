//! [`Tuning`]: plans a job's granularity again while the job runs and its calls are measured.
//!
//! Guided self-scheduling: a job without any history starts small, with the default number of sub-workers,
//! one round of calls for each worker and few workers. The rest of the job is planned again with the first
//! reports, then each time the number of measured calls has doubled, and each time the elapsed time has grown
//! by half. Towards the end chunks become smaller, so that the workers end together.
//!
//! The calls that have ended first are the short ones. To correct that bias, the time that sub-workers have
//! spent on calls that still run counts too, as if each of these calls were half done.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    executor::job::Measured,
    plan::{Basis, Plan},
};

/// A new plan replaces the present one only if its makespan or cost is at most this share of the present
/// one's: a change costs something too.
const WORTH: f64 = 0.95;
/// In a job without history, each of the first workers should have this many rounds of calls to do. A smaller
/// number starts more workers, which is waste if the calls turn out to be short.
const FIRST_ROUNDS: u64 = 16;
/// This many workers may start at first, even if the job has few calls.
const FIRST_WORKERS: u64 = 4;

/// How far a job's granularity has been tuned.
#[derive(Debug)]
pub(crate) struct Tuning {
    /// The rest is planned again once this many calls are measured.
    next: u64,
    /// Whether the durations of the calls are known, from the history or from measurements.
    informed: bool,
    /// The durations that earlier jobs of the function measured.
    earlier: Option<Measured>,
    /// The time that calls have run in workers with a feed, ended or not; `None` before the first report.
    run: Option<Run>,
    /// When the job is planned again, even if too few calls were measured by then.
    look: Instant,
    began: Instant,
}

/// The time that calls have run since the first report.
#[derive(Debug, Clone, Copy)]
struct Run {
    upto: Instant,
    seconds: f64,
    /// The seconds that were already measured when this count began.
    before: f64,
}

/// The first time after which a job is planned again without enough reports.
const FIRST_LOOK: Duration = Duration::from_millis(8);

impl Tuning {
    /// The tuning of a job; `None` unless the plan leaves a count to the planner (`Auto`).
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

    /// How many workers may live at once: few until durations are known, and then as many as the plan allows.
    pub(crate) fn limit(&self, plan: &Plan) -> u64 {
        if self.informed {
            return plan.max_workers() as u64;
        }
        let rounds = plan.calls().div_ceil(plan.worker_processes() as u64);
        // Calls without a report for seconds are long calls, which are worth more workers: the limit doubles
        // each second, at most 32 times so that the shift cannot overflow.
        let waited = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX).min(32);
        rounds.div_ceil(FIRST_ROUNDS).max(FIRST_WORKERS).saturating_mul(1 << waited)
    }

    /// Whether enough calls were measured, or enough time has passed, since the rest was last planned.
    pub(crate) fn is_due(&self, measured: &Measured) -> bool {
        measured.calls() >= self.next || self.look <= Instant::now() && measured.calls() > 0
    }

    /// When the job is to be planned again even if nothing is reported.
    pub(crate) fn due(&self) -> Instant {
        self.look
    }

    /// Notes that `running` calls have been running in workers with a feed since this method was last called.
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

    /// Sets the next time, after the present one has passed, whether or not a new plan was made.
    pub(crate) fn looked(&mut self) {
        if self.look <= Instant::now() {
            self.put_off();
        }
    }

    /// Sets the next time to half the elapsed time from now.
    fn put_off(&mut self) {
        let now = Instant::now();
        self.look = now + ((now - self.began) / 2).max(FIRST_LOOK);
    }

    /// Plans the `left` calls again. Returns the new plan, or the present plan with the measured workload
    /// where a change is not worth it; `None` if the measurements give no workload.
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
            // Earlier jobs are weighted low, so that a function whose durations have changed is noticed.
            Some(earlier) => {
                earlier.clone().scaled_to(20 + measured.calls() * 2).then(measured).workload(basis)?
            }
            None => measured.cautious_workload(basis, running, spent)?,
        };
        let first = !std::mem::replace(&mut self.informed, true);
        let present = plan.with_workload(workload.clone());
        let planned = plan.replanned(workload, measured.payload(), left);
        // Sub-workers that run are already paid for. Fewer of them help only where they compete for the CPUs.
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

    /// How many calls the next worker without a feed is given, when `left` calls are not dispatched.
    pub(crate) fn chunk(&self, plan: &Plan, left: u64) -> u64 {
        let (chunksize, round) = (plan.chunksize() as u64, plan.worker_processes() as u64);
        let workers = plan.for_calls(left).live_workers().max(1);
        // The workers share half of what is left, so that the last worker has a short chunk.
        let share = left.div_ceil(workers * 2).next_multiple_of(round);
        if self.informed && workers >= plan.max_workers() as u64 {
            chunksize.min(share.max(round))
        } else {
            chunksize
        }
    }
}
