//! [`Summary`]: what a job has taken and cost, beside what was predicted.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    executor::job::JobState,
    in_seconds,
    plan::{Cost, seconds},
};

/// What a job has taken and cost so far, beside what was predicted at its start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// How many calls are known so far.
    pub calls: u64,
    /// How many calls have an outcome.
    pub done: u64,
    /// How many calls failed.
    pub failed: u64,
    /// How often a call was tried again.
    pub retried: u64,
    /// How many workers were lost while they had calls.
    pub lost_workers: u64,
    /// How many workers were started, or were warm and took part.
    pub workers: u64,
    /// How many chunks, and retried parts of chunks, were handed over to workers.
    pub hand_overs: u64,
    /// How many sub-workers ran calls at the same time, at most: one that was replaced and its successor are one.
    pub sub_workers: usize,
    /// How many processes ran calls.
    pub processes: usize,
    /// The time from the first call's hand-over to the last call's end.
    #[serde(rename = "makespan_seconds", serialize_with = "in_seconds::duration")]
    pub makespan: Duration,
    /// The predicted makespan; `None` where durations were not known.
    #[serde(rename = "predicted_makespan_seconds", serialize_with = "in_seconds::known")]
    pub predicted_makespan: Option<Duration>,
    /// The run times of all calls, added up.
    #[serde(rename = "run_time_seconds", serialize_with = "in_seconds::duration")]
    pub run_time: Duration,
    /// The CPU time of all calls, added up.
    #[serde(rename = "cpu_time_seconds", serialize_with = "in_seconds::duration")]
    pub cpu_time: Duration,
    /// The share of the sub-workers' time in which they ran calls, from 0 to 1.
    pub utilisation: f64,
    /// The predicted utilisation; `None` where durations were not known.
    pub predicted_utilisation: Option<f64>,
    /// The billed time of all workers, added up.
    #[serde(rename = "billed_seconds", serialize_with = "in_seconds::duration")]
    pub billed: Duration,
    /// The cost of the billed time and the hand-overs by the platform's prices, in US dollars, without free
    /// tiers and taxes.
    pub cost_usd: f64,
    /// The predicted cost, in US dollars; `None` where durations were not known.
    pub predicted_cost_usd: Option<f64>,
}

impl Summary {
    pub(crate) fn of(job: &JobState) -> Self {
        let (progress, account, plan) = (job.progress(), job.account(), job.first_plan());
        let mut ran = Ran::default();
        job.read(|outcomes| {
            for report in outcomes.reports() {
                // Outcomes that no process has reported, such as cancellations, took no time.
                if report.header.pid == 0 {
                    continue;
                }
                let lived = ran.lived.entry(report.header.pid).or_insert((u64::MAX, 0));
                ran.first = ran.first.min(report.header.queued_at);
                ran.cpu += report.header.cpu;
                for index in 0..report.len() {
                    let (started, ended) = report.times(index);
                    ran.last = ran.last.max(ended);
                    *lived = (lived.0.min(started), lived.1.max(ended));
                    ran.nanos += u128::from(ended.saturating_sub(started));
                }
            }
        });
        let makespan = Duration::from_nanos(ran.last.saturating_sub(ran.first));
        let run_time = Duration::from_nanos(u64::try_from(ran.nanos).unwrap_or(u64::MAX));
        // A sub-worker that was replaced, after a crash or a timeout, is one place with its successor.
        let places = most_at_once(ran.lived.values()) as f64 * makespan.as_secs_f64();
        let prediction = plan.prediction();
        Self {
            calls: progress.known,
            done: progress.done,
            failed: progress.failed,
            retried: progress.retried,
            lost_workers: progress.lost_workers,
            workers: account.workers,
            hand_overs: account.hand_overs,
            sub_workers: most_at_once(ran.lived.values()),
            processes: ran.lived.len(),
            makespan,
            predicted_makespan: plan.makespan(),
            run_time,
            cpu_time: ran.cpu,
            utilisation: if places > 0.0 { (run_time.as_secs_f64() / places).min(1.0) } else { 0.0 },
            predicted_utilisation: prediction.map(|prediction| prediction.utilisation),
            billed: account.billed,
            cost_usd: account.usd,
            predicted_cost_usd: plan.cost().usd,
        }
    }
}

#[derive(Debug)]
struct Ran {
    /// When each process has begun its first call and ended its last.
    lived: BTreeMap<u32, (u64, u64)>,
    first: u64,
    last: u64,
    nanos: u128,
    cpu: Duration,
}

impl Default for Ran {
    fn default() -> Self {
        Self { lived: BTreeMap::new(), first: u64::MAX, last: 0, nanos: 0, cpu: Duration::ZERO }
    }
}

/// How many of these times overlap at most.
fn most_at_once<'a>(times: impl Iterator<Item = &'a (u64, u64)>) -> usize {
    // At the same moment an end comes before a beginning, and a call without a duration has one.
    let mut changes: Vec<_> =
        times.flat_map(|(begun, ended)| [(*begun, true), ((*ended).max(begun + 1), false)]).collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in changes {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |duration: Duration| seconds(duration.as_secs_f64());
        let beside = |predicted: Option<String>| match predicted {
            Some(predicted) => format!("predicted {predicted}"),
            None => "not predicted".to_owned(),
        };
        let mut troubles = String::new();
        for (count, what) in
            [(self.failed, "failed"), (self.retried, "tried again"), (self.lost_workers, "workers lost")]
        {
            if count > 0 {
                troubles += &format!(", {count} {what}");
            }
        }
        writeln!(f, "calls         {} of {} done{troubles}", self.done, self.calls)?;
        writeln!(
            f,
            "workers       {} with {} sub-workers{}, {} hand-overs",
            self.workers,
            self.sub_workers,
            if self.processes > self.sub_workers {
                format!(" ({} processes)", self.processes)
            } else {
                String::new()
            },
            self.hand_overs
        )?;
        writeln!(f, "makespan      {} ({})", span(self.makespan), beside(self.predicted_makespan.map(span)))?;
        writeln!(
            f,
            "utilisation   {:.0} % of the sub-workers' time ({})",
            self.utilisation * 100.0,
            beside(self.predicted_utilisation.map(|part| format!("{:.0} %", part * 100.0)))
        )?;
        writeln!(f, "run time      {} in calls, {} on a CPU", span(self.run_time), span(self.cpu_time))?;
        writeln!(f, "billed time   {}", span(self.billed))?;
        write!(
            f,
            "cost          {} ({})",
            Cost::of(self.cost_usd),
            beside(self.predicted_cost_usd.map(|usd| Cost::of(usd).to_string()))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_successor_are_one_place() {
        let times = |times: &[(u64, u64)]| most_at_once(times.iter());
        assert_eq!(times(&[]), 0);
        assert_eq!(times(&[(0, 10), (0, 4), (4, 7), (7, 10)]), 2);
        assert_eq!(times(&[(0, 3), (1, 2), (1, 3)]), 3);
        assert_eq!(times(&[(5, 5), (6, 9)]), 1);
    }
}
