//! [`Measured`]: the durations of a function's calls, collected from their reports.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    plan::{Basis, Durations, Workload},
    protocol::Report,
};

/// Durations are collected in classes. Neighbouring classes differ by a factor of 2^(1/8), about 9 %. A
/// stored history depends on this number: another one would give its classes another meaning.
const CLASSES_PER_DOUBLING: f64 = 8.0;
/// At most this many calls of a report are sampled, so that large reports cost little.
const LOOKED_AT: usize = 64;
/// Earlier jobs are weighted as at most this many calls, so that new measurements always matter.
const REMEMBERED: u64 = 10_000;

/// The durations of calls, corrected for the time in which they waited for a CPU, and their CPU time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// By class of duration: the number of calls, and the sum of their seconds.
    classes: BTreeMap<i32, (f64, f64)>,
    /// The CPU time of all calls, in seconds.
    cpu: f64,
    calls: u64,
    /// The number of arguments that were handed over, and their bytes.
    given: (f64, f64),
}

impl Measured {
    /// Adds the calls of a report. A report with a failed call is left out.
    pub fn add(&mut self, report: &Report) {
        let len = report.len();
        if len == 0 || !report.all_ok() {
            // CPU time is reported for a whole report only, so that failed calls cannot be separated from it.
            return;
        }
        let took = |index: usize| {
            let (started, ended) = report.times(index);
            Duration::from_nanos(ended.saturating_sub(started)).as_secs_f64().max(1e-9)
        };
        let step = len.div_ceil(LOOKED_AT);
        let looked_at: Vec<_> = (0..len).step_by(step).map(took).collect();
        let weight = len as f64 / looked_at.len() as f64;
        let wall = looked_at.iter().sum::<f64>() * weight;
        // The delay is the time in which calls were ready and had no CPU, because others competed for it. A
        // call that runs alone would not have this delay.
        let undelayed = (1.0 - report.header.delay.as_secs_f64() / wall).max(0.05);
        for seconds in looked_at {
            let seconds = (seconds * undelayed).max(1e-9);
            let class = (seconds.log2() * CLASSES_PER_DOUBLING).floor() as i32;
            let (count, sum) = self.classes.entry(class).or_default();
            *count += weight;
            *sum += seconds * weight;
        }
        self.cpu += report.header.cpu.as_secs_f64();
        self.calls += len as u64;
    }

    /// Adds encoded arguments that are handed over; `bytes` is their size together.
    pub fn add_arguments(&mut self, calls: usize, bytes: usize) {
        self.given.0 += calls as f64;
        self.given.1 += bytes as f64;
    }

    /// How many calls were measured.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The time that the calls took together, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.classes.values().map(|(_, sum)| sum).sum()
    }

    /// The mean size of a call's encoded argument, in bytes; `None` before the first argument.
    #[must_use]
    pub fn payload(&self) -> Option<u64> {
        (self.given.0 >= 1.0).then(|| (self.given.1 / self.given.0).round() as u64)
    }

    /// The workload for the planner; `None` without measurements.
    #[must_use]
    pub fn workload(&self, basis: Basis) -> Option<Workload> {
        let points = self.classes.values().map(|(count, sum)| (sum / count.max(1e-9), *count));
        let durations = Durations::weighted(points).ok()?;
        let seconds = self.seconds();
        let cpu_share = if seconds > 0.0 { self.cpu / seconds } else { 1.0 };
        // A batch of short calls includes what the sub-worker does between them, and a call may have threads: the
        // share is that of a call which computes all the time, as for a workload that is given.
        let cpu_share = if cpu_share.is_finite() { cpu_share.clamp(0.0, 1.0) } else { 1.0 };
        Some(Workload { durations, cpu_share, basis })
    }

    /// The workload for the planner while few calls are measured; `None` without measurements. It contains
    /// one more call that takes longer than all measured ones: the fewer calls were measured, the longer. The
    /// `running` calls, which have run for `spent` seconds together, count as half done, if that makes them
    /// longer than the mean.
    #[must_use]
    pub fn cautious_workload(&self, basis: Basis, running: u64, spent: f64) -> Option<Workload> {
        let workload = self.workload(basis)?;
        let longer = workload.durations.longest() * (8.0 / (self.calls as f64).sqrt()).max(1.0);
        let points = self.classes.values().map(|(count, sum)| (sum / count.max(1e-9), *count));
        let each = spent * 2.0 / running.max(1) as f64;
        let unended = (running > 0 && each > workload.durations.mean()).then_some((each, running as f64));
        let durations = Durations::weighted(points.chain([(longer, 1.0)]).chain(unended)).ok()?;
        Some(Workload { durations, ..workload })
    }

    /// Merges earlier measurements (`self`) with `later` ones. The earlier ones count as at most 10 000
    /// calls, so that later ones outweigh them once there are more.
    #[must_use]
    pub fn then(mut self, later: &Self) -> Self {
        self = self.scaled_to(REMEMBERED);
        for (class, (count, sum)) in &later.classes {
            let (old_count, old_sum) = self.classes.entry(*class).or_default();
            *old_count += count;
            *old_sum += sum;
        }
        self.cpu += later.cpu;
        self.calls += later.calls;
        self.given = (self.given.0 + later.given.0, self.given.1 + later.given.1);
        self
    }

    /// The same distribution, weighted as at most `most` calls.
    #[must_use]
    pub fn scaled_to(mut self, most: u64) -> Self {
        let factor = most as f64 / self.calls.max(1) as f64;
        if factor < 1.0 {
            self.classes
                .values_mut()
                .for_each(|(count, sum)| (*count, *sum) = (*count * factor, *sum * factor));
            self.cpu *= factor;
            self.given = (self.given.0 * factor, self.given.1 * factor);
            self.calls = most;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{ActivationId, JobId},
        protocol::{HEADER_LEN, ReportBuilder, ReportHeader, Run, Tag},
    };

    fn report(calls: u32, each: Duration, cpu: Duration, delay: Duration) -> Report {
        let job = JobId::from_bytes([1; 16]);
        let activation = ActivationId(0);
        let run = Run { job, activation, offset: 0, chunksize: calls, attempt: 1, first: 0, count: calls };
        let header = ReportHeader {
            run,
            batch: 0,
            batch_done: true,
            stored: false,
            pid: 1,
            queued_at: 0,
            cpu,
            peak_memory: 0,
            delay,
        };
        let mut builder = ReportBuilder::default();
        (0..calls).for_each(|_| builder.end_call(Tag::Ok, 1000, 1000 + each.as_nanos() as u64));
        let mut frame = Vec::new();
        builder.drain_into(&header, &mut frame);
        Report::read(&bytes::Bytes::from(frame).slice(HEADER_LEN..)).expect("it was just written")
    }

    const TEN: Duration = Duration::from_millis(10);

    #[test]
    fn time_without_a_cpu_does_not_count() {
        let mut measured = Measured::default();
        measured.add(&report(1, TEN * 2, TEN, TEN));
        let workload = measured.workload(Basis::Given).expect("something was measured");
        assert!((workload.durations.mean() - 0.01).abs() < 1e-6, "{workload}");
        assert!((workload.cpu_share - 1.0).abs() < 1e-6, "{workload}");
    }

    #[test]
    fn no_call_needs_more_than_all_of_its_time() {
        let mut measured = Measured::default();
        measured.add(&report(1, TEN, TEN * 40, Duration::ZERO));
        let workload = measured.workload(Basis::Given).expect("something was measured");
        assert!((workload.cpu_share - 1.0).abs() < 1e-6, "{workload}");
    }

    #[test]
    fn a_call_that_waits_needs_little_of_a_cpu() {
        let mut measured = Measured::default();
        (0..100).for_each(|_| measured.add(&report(1000, TEN, TEN, Duration::ZERO)));
        let workload = measured.workload(Basis::Given).expect("something was measured");
        assert!((workload.cpu_share - 0.001).abs() < 1e-6, "{workload}");
        assert_eq!(measured.calls(), 100_000);
    }

    #[test]
    fn later_jobs_count_more_than_all_before_them() {
        let (mut before, mut later) = (Measured::default(), Measured::default());
        (0..1000).for_each(|_| before.add(&report(1000, TEN, TEN, Duration::ZERO)));
        (0..10).for_each(|_| later.add(&report(1000, TEN * 3, TEN, Duration::ZERO)));
        let mean = before.then(&later).workload(Basis::Given).expect("measured").durations.mean();
        assert!((mean - 0.02).abs() < 1e-4, "{mean}");
    }
}
