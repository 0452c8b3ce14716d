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
    /// The time from the first call's hand-over to the last call's end. Of a durable job that another client has
    /// begun, without the times in which none of its calls was handed over or ran: no client drove it then.
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
    /// How many workers ran on when the job ended: they wait for the next job, until the executor is closed or they
    /// have waited for long enough. The job does not pay for that.
    pub idle_workers: usize,
    /// What these cost in an hour, in US dollars.
    pub idle_hour_usd: f64,
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
                let mut at_work = (report.header.queued_at, 0);
                let lived = ran.lived.entry(report.header.pid).or_insert((u64::MAX, 0));
                ran.cpu += report.header.cpu;
                for index in 0..report.len() {
                    let (started, ended) = report.times(index);
                    at_work.1 = at_work.1.max(ended);
                    *lived = (lived.0.min(started), lived.1.max(ended));
                    ran.nanos += u128::from(ended.saturating_sub(started));
                }
                ran.at_work.push(at_work);
            }
        });
        let makespan = Duration::from_nanos(match progress.restored {
            0 => from_first_to_last(&ran.at_work),
            _ => covered(ran.at_work),
        });
        let run_time = Duration::from_nanos(u64::try_from(ran.nanos).unwrap_or(u64::MAX));
        // A sub-worker that was replaced, after a crash or a timeout, is one place with its successor.
        let places = most_at_once(ran.lived.values()) as f64 * makespan.as_secs_f64();
        let (prediction, stayed) = (plan.prediction(), job.stayed());
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
            idle_workers: stayed.workers,
            idle_hour_usd: stayed.hour_usd,
        }
    }
}

#[derive(Debug, Default)]
struct Ran {
    /// When each process has begun its first call and ended its last.
    lived: BTreeMap<u32, (u64, u64)>,
    /// From the hand-over to the last end, for the calls of each report.
    at_work: Vec<(u64, u64)>,
    nanos: u128,
    cpu: Duration,
}

/// The time from the first beginning to the last end.
fn from_first_to_last(times: &[(u64, u64)]) -> u64 {
    let first = times.iter().map(|(begun, _)| *begun).min().unwrap_or(0);
    let last = times.iter().map(|(_, ended)| *ended).max().unwrap_or(0);
    last.saturating_sub(first)
}

/// How much time is in at least one of these.
fn covered(mut times: Vec<(u64, u64)>) -> u64 {
    times.sort_unstable();
    let (mut sum, mut until) = (0, 0);
    for (begun, ended) in times {
        sum += ended.saturating_sub(begun.max(until));
        until = until.max(ended);
    }
    sum
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
        )?;
        if self.idle_hour_usd > 0.0 {
            let (workers, usd) = (self.idle_workers, Cost::of(self.idle_hour_usd));
            write!(f, "\nrunning on    {workers} workers, {usd}/h until the executor is closed")?;
        }
        Ok(())
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

    #[test]
    fn a_time_without_a_driver_is_no_part_of_the_makespan() {
        let (begun, resumed) = ([(10, 20), (12, 30)], [(1000, 1010), (1005, 1008), (1010, 1020)]);
        let both = [begun.as_slice(), &resumed].concat();
        assert_eq!(from_first_to_last(&both), 1010);
        assert_eq!(covered(both), 40);
        assert_eq!(covered(begun.to_vec()), from_first_to_last(&begun));
        assert_eq!((covered(Vec::new()), from_first_to_last(&[])), (0, 0));
    }
}
