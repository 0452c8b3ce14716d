//! [`Account`]: what the workers of a job have used, and what they cost while they run.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use crate::plan::{Cost, Plan};

/// What the workers of a job have used so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Account {
    /// How many workers were started.
    pub workers: u64,
    /// How many chunks, and retried parts of chunks, were handed over to workers.
    pub hand_overs: u64,
    /// How long the workers lived for the job, added up.
    pub lived: Duration,
    /// How much of `lived` is billed, after the platform's rounding.
    pub billed: Duration,
    /// The cost of the billed time and the requests, in US dollars.
    pub usd: f64,
}

impl Account {
    fn add(&mut self, worker: &LiveWorker, until: Instant, plan: &Plan) {
        let lived = until.saturating_duration_since(worker.since);
        let (billed, usd) = plan.bill(lived.as_secs_f64());
        self.lived += lived;
        self.billed = self.billed.saturating_add(billed);
        self.usd += worker.hour_usd.map_or(usd, |hour| hour * billed.as_secs_f64() / 3600.0);
    }
}

/// What the workers of a job cost while they run: `3 workers, $0.2678/h, $0.0040 so far`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Spending {
    /// How many workers run.
    pub workers: usize,
    /// What they cost in an hour, in US dollars.
    pub hour_usd: f64,
    /// What the job has cost so far, in US dollars: if its workers ended now.
    pub usd: f64,
}

impl fmt::Display for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usd = |usd: f64| if usd > 0.0 { Cost::of(usd).to_string() } else { "$0".to_owned() };
        let many = if self.workers == 1 { "" } else { "s" };
        write!(f, "{} worker{many}, {}/h, {} so far", self.workers, usd(self.hour_usd), usd(self.usd))
    }
}

/// The live workers of a job, and what those cost that have ended.
#[derive(Debug, Default)]
pub(super) struct JobWorkers {
    ended: Account,
    live: BTreeMap<u64, LiveWorker>,
    /// The workers that ran on when the job ended: they are the fleet's, and wait for its next job.
    stayed: Spending,
}

#[derive(Debug)]
struct LiveWorker {
    since: Instant,
    /// The price of this worker, in US dollars for an hour, where it differs from the plan's.
    hour_usd: Option<f64>,
}

impl JobWorkers {
    pub(super) fn began(&mut self, number: u64) {
        self.ended.workers += 1;
        self.live.insert(number, LiveWorker { since: Instant::now(), hour_usd: None });
    }

    pub(super) fn costs(&mut self, number: u64, hour_usd: f64) {
        if let Some(worker) = self.live.get_mut(&number) {
            worker.hour_usd = Some(hour_usd);
        }
    }

    /// With `was_started` false the worker never ran, and is not counted.
    pub(super) fn ended(&mut self, number: u64, was_started: bool, until: Instant, plan: &Plan) {
        let Some(worker) = self.live.remove(&number) else { return };
        if was_started {
            self.ended.add(&worker, until, plan);
        } else {
            self.ended.workers -= 1;
        }
    }

    /// Notes that the workers stay when the job ends: from now on they cost it nothing.
    pub(super) fn stay(&mut self, until: Instant, plan: &Plan) {
        self.stayed = self.spending(until, plan);
        for worker in std::mem::take(&mut self.live).values() {
            self.ended.add(worker, until, plan);
        }
    }

    pub(super) fn stayed(&self) -> Spending {
        self.stayed
    }

    pub(super) fn handed_over(&mut self, chunks: u64) {
        self.ended.hand_overs += chunks;
    }

    /// What all workers have used, as if the live ones ended now.
    pub(super) fn account(&self, until: Instant, plan: &Plan) -> Account {
        let mut account = self.ended;
        self.live.values().for_each(|worker| account.add(worker, until, plan));
        account.usd += plan.requests_usd(account.hand_overs);
        account
    }

    pub(super) fn spending(&self, until: Instant, plan: &Plan) -> Spending {
        let of_plan = plan.worker_hour_usd();
        Spending {
            workers: self.live.len(),
            hour_usd: self.live.values().map(|worker| worker.hour_usd.unwrap_or(of_plan)).sum(),
            usd: self.account(until, plan).usd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compute::{Capabilities, Price},
        plan::PlanRequest,
    };

    #[tokio::test(start_paused = true)]
    async fn each_worker_costs_what_the_platform_says_of_it_and_else_what_the_plan_says() {
        let price = Price { worker_hour_usd: 3.6, minimum: Duration::from_secs(60), ..Price::default() };
        let capabilities = Capabilities { price, ..Capabilities::local(1) };
        let plan = PlanRequest::new(4, &capabilities).plan().expect("a plan");
        let mut workers = JobWorkers::default();
        (0..3).for_each(|number| workers.began(number));
        workers.costs(1, 1.8);
        tokio::time::advance(Duration::from_secs(100)).await;
        let now = Instant::now();
        assert_eq!(workers.spending(now, &plan).to_string(), "3 workers, $9.0000/h, $0.2500 so far");
        workers.ended(0, true, now, &plan);
        workers.ended(2, false, now, &plan);
        tokio::time::advance(Duration::from_secs(100)).await;
        let now = Instant::now();
        assert_eq!(workers.spending(now, &plan).to_string(), "1 worker, $1.8000/h, $0.2000 so far");
        workers.stay(now, &plan);
        tokio::time::advance(Duration::from_secs(100)).await;
        let (account, now) = (workers.account(Instant::now(), &plan), Instant::now());
        assert_eq!((account.workers, account.billed), (2, Duration::from_secs(300)));
        assert!((account.usd - 0.2).abs() < 1e-9, "{account:?}");
        assert_eq!((workers.spending(now, &plan).workers, workers.stayed().workers), (0, 1));
    }
}
