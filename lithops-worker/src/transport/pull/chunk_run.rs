//! [`ChunkRun`]: the calls of one chunk that this worker holds: when each goes to the pool, and what came back.

use std::time::Duration;

use lithops_core::{
    board::LeaseConfig,
    bytes::Bytes,
    error::Result,
    fleet::JobManifest,
    id::{ActivationId, JobId},
    journal::ChunkOutcomes,
    protocol::{Calls, LogEntry, Report, Run, Tag, blank_header, failed_report, failed_together, now_nanos},
    tracker::{Dispatch, Ranges, Step, Tracker, Tracking, Verdict, Window},
};

use super::inputs::{Input, StoredInputs};

/// Calls are sent to the pool in frames of at most this many bytes, unless a single call is longer: the pool must not
/// have to wait for the last input of a chunk before it begins the first call.
const FRAME_BYTES: usize = 4 << 20;

/// A chunk that this worker holds, in one epoch of its lease.
#[derive(Debug)]
pub(super) struct ChunkRun {
    job: JobId,
    pub(super) chunk: u64,
    pub(super) epoch: u64,
    /// A number of its own: reports of an earlier run of the same calls bear another.
    activation: ActivationId,
    tracker: Tracker,
    window: Window,
    /// The calls that are to be run, and those of them that have an outcome.
    ordered: Ranges,
    done: Ranges,
    /// The calls whose outcomes the board has not been told, their reports, and the output of calls.
    untold: Ranges,
    outcomes: Vec<Report>,
    logs: Vec<LogEntry>,
    /// When the board was last told something.
    told: Duration,
    /// The longest time that outcomes are kept back.
    period: Duration,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum NextStep {
    /// Give these calls to the pool.
    Give(Calls),
    /// The input of this call is missing.
    Fetch(u64),
    /// Wait until the pool reports something.
    Rest,
}

impl ChunkRun {
    /// The run of a chunk in an epoch; `number` must be another for each run of a session.
    pub(super) fn new(
        manifest: &JobManifest,
        (chunk, epoch): (u64, u64),
        number: u64,
        now: Duration,
    ) -> Self {
        // One call that runs and one that waits for each sub-worker.
        let least = u64::from(manifest.spec.worker_processes).max(1) * 2;
        let LeaseConfig { beat, .. } = manifest.lease_config;
        Self {
            job: manifest.spec.job,
            chunk,
            epoch,
            activation: ActivationId(number),
            tracker: Tracker::new(manifest.policy),
            window: Window::new(least, std::time::Instant::now()),
            ordered: Ranges::default(),
            done: Ranges::default(),
            untold: Ranges::default(),
            outcomes: Vec::new(),
            logs: Vec::new(),
            told: now,
            period: beat,
        }
    }

    /// Adds calls that are to be run.
    pub(super) fn order(&mut self, first: u64, end: u64) {
        self.ordered.insert(first, end);
        self.tracker.put_back(Dispatch { first, end, attempt: 1, suspect: false, backup: false });
    }

    /// What to do next, provided that the lease lets calls start.
    pub(super) fn next(&mut self, inputs: &mut StoredInputs, now: Duration) -> NextStep {
        self.tracker.wake(now);
        loop {
            let (waiting, suspects) = self.tracker.has_waiting();
            let idle = self.window.calls() == 0;
            // A call that may have killed its sub-worker (a suspect) runs alone, so that a second death is surely its
            // own doing.
            let dispatch = match () {
                () if suspects && idle => self.tracker.take_suspect(),
                () if waiting && !suspects && self.window.room() > 0 => {
                    self.tracker.take_waiting(self.window.room())
                }
                () => None,
            };
            let Some(dispatch) = dispatch else { return NextStep::Rest };
            match inputs.of(dispatch.first) {
                Input::Missing => {
                    self.tracker.put_back(dispatch);
                    return NextStep::Fetch(dispatch.first);
                }
                Input::Failed(error) => {
                    let call = dispatch.first;
                    self.put_back_from(dispatch, call + 1);
                    self.tracker.settle(call, call + 1);
                    failed_together(self.job, vec![(call, call + 1)], &error)
                        .for_each(|report| self.keep(report));
                }
                Input::There(arguments) => {
                    let wanted = usize::try_from(dispatch.end - dispatch.first).unwrap_or(usize::MAX);
                    let arguments = arguments.slice(0, wanted.min(arguments.len()));
                    let arguments = arguments.slice(0, arguments.fitting(FRAME_BYTES));
                    let end = dispatch.first + arguments.len() as u64;
                    self.put_back_from(dispatch, end);
                    self.tracker.dispatched(Dispatch { end, ..dispatch }, 0, now);
                    self.window.given(arguments.len() as u64, arguments.bytes());
                    let count = u32::try_from(arguments.len()).unwrap_or(u32::MAX);
                    let run = Run {
                        job: self.job,
                        activation: self.activation,
                        offset: 0,
                        chunksize: u32::MAX,
                        attempt: dispatch.attempt,
                        first: dispatch.first,
                        count,
                    };
                    return NextStep::Give(Calls { run, batch: 0, queued_at: now_nanos(), arguments });
                }
            }
        }
    }

    fn put_back_from(&mut self, dispatch: Dispatch, first: u64) {
        if first < dispatch.end {
            self.tracker.put_back(Dispatch { first, ..dispatch });
        }
    }

    /// Takes in outcomes. Those of another run of the chunk are dropped.
    pub(super) fn report(&mut self, report: &Report, now: Duration) {
        let run = report.header.run;
        if (run.job, run.activation) != (self.job, self.activation) {
            return;
        }
        self.window.reported(u64::from(run.count), std::time::Instant::now());
        let verdict = |call: u64| match report.tag(usize::try_from(call - run.first).unwrap_or(usize::MAX)) {
            Tag::Ok => Verdict::Ok,
            Tag::Failed => Verdict::Failed { again: true },
            Tag::Unstarted => Verdict::Unstarted,
            Tag::Lost => Verdict::Lost,
        };
        for step in self.tracker.report(None, run.first, run.end(), run.attempt, &verdict, now) {
            match step {
                Step::Commit(first, end) => {
                    self.keep(report.part(first, end));
                }
                Step::CommitLost { call, .. } => {
                    let lost = report.part(call, call + 1);
                    self.keep(failed_report(&blank_header(lost.header.run), &[lost.value(0)]));
                }
                Step::Again(..) | Step::Drop(..) => {}
            }
        }
    }

    /// Takes in the output of calls.
    pub(super) fn printed(&mut self, entries: Vec<LogEntry>) {
        self.logs.extend(entries.into_iter().filter(|entry| self.ordered.contains(entry.call)));
    }

    fn keep(&mut self, report: Report) {
        let run = report.header.run;
        self.done.insert(run.first, run.end());
        self.untold.insert(run.first, run.end());
        self.outcomes.push(report);
    }

    /// Whether the pool has none of the calls.
    pub(super) fn is_quiet(&self) -> bool {
        self.window.calls() == 0
    }

    /// The outcomes that the board is to be told now, or all that there are, each `first..end` with its report.
    ///
    /// Outcomes are kept back until every ordered call has one, because each report to the board is a request to the
    /// storage; but for one `period` at most, because outcomes that were not told are lost with this worker. Where calls
    /// run one by one, because a worker was lost at this chunk, each is thus told at once.
    ///
    /// # Errors
    /// When the output of calls cannot be encoded.
    pub(super) fn tell(&mut self, now: Duration, all: bool) -> Result<Vec<(u64, u64, Bytes)>> {
        let complete = self.done.len() == self.ordered.len();
        if self.untold.is_empty() || !(complete || all || now >= self.told + self.period) {
            return Ok(Vec::new());
        }
        self.told = now;
        let mut outcomes = std::mem::take(&mut self.outcomes);
        outcomes.sort_unstable_by_key(|report| report.header.run.first);
        let mut outcomes = outcomes.into_iter().peekable();
        let mut told = Vec::new();
        for (first, end) in std::mem::take(&mut self.untold).iter() {
            let mut bundle = ChunkOutcomes::default();
            while let Some(report) = outcomes.next_if(|report| report.header.run.first < end) {
                bundle.reports.push(report);
            }
            let within = |entry: &mut LogEntry| first <= entry.call && entry.call < end;
            bundle.logs = self.logs.extract_if(.., within).collect();
            told.push((first, end, bundle.encode()?.into()));
        }
        Ok(told)
    }

    /// When there may be something to do, if the pool reports nothing before. While no call may start, a call that waits
    /// to be tried again is not due.
    pub(super) fn due(&self, may_start: bool) -> Option<Duration> {
        let tell = (!self.untold.is_empty()).then(|| self.told + self.period);
        [self.tracker.next_wake().filter(|_| may_start), tell].into_iter().flatten().min()
    }
}
