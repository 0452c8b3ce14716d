//! Handling of worker events: reports become steps of the tracker, and lost workers' calls are dispatched
//! again.

use std::{panic::catch_unwind, time::Duration};

use super::{
    RetryIf,
    given::Checked,
    run::{Driver, Kept},
};
use crate::{
    compute::{Event, EventKind, ExitReason, FeedCommand, Liveness},
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    executor::job::JobEvent,
    journal::ChunkOutcomes,
    protocol::{Cancel, Report, Run, Tag, blank_header, failed_report, failed_together, lost_report},
    tracker::{Step, Tracking, Verdict},
};

impl<T: Tracking> Driver<T> {
    /// Handles an event of worker `number`; `None` is the end of the worker's event stream.
    pub(super) fn event(&mut self, number: u64, event: Option<Result<Event>>) -> Result<()> {
        match event {
            Some(Ok(Event { kind, .. })) => match kind {
                EventKind::Report(report) => self.report(Some(number), &report)?,
                // The payload store replaces stored reports by fetched ones. One that arrives here came from
                // a backend without a message limit, which breaks the protocol.
                EventKind::StoredReport(stored) => {
                    let report =
                        lost_report(stored.run, "its outcome is in the storage, and nobody fetches it");
                    self.report(Some(number), &report)?;
                }
                EventKind::Logs(mut logs) => {
                    // Entries of calls that were never dispatched are dropped: a worker must not fill this
                    // process's memory.
                    logs.entries.retain(|entry| entry.call < self.next);
                    if !self.given.is_distrusted(number) {
                        self.job.add_logs(logs, Some(number));
                    }
                }
                EventKind::Exited(ExitReason::Refused(reason)) if self.has_others(number) => {
                    tracing::warn!(worker = number, reason, "no further worker can be started for now");
                    self.refused(number, Duration::ZERO);
                }
                EventKind::Exited(ExitReason::Refused(reason) | ExitReason::Damaged(reason)) => {
                    return Err(Error::new(
                        ErrorKind::WorkerLost,
                        format!("no worker could start: {reason}"),
                    ));
                }
                EventKind::Exited(ExitReason::NotStarted(reason)) => self.not_started(number, &reason)?,
                // This process lacks a resource. A new worker would meet the same lack, so a retry makes no
                // sense.
                EventKind::Exited(ExitReason::Broken(reason)) => {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!("a worker had to be ended, because nobody could listen to it: {reason}"),
                    ));
                }
                EventKind::Exited(ExitReason::Finished) => {
                    self.answered();
                    self.lost(number, "its worker ended before the call was reported".into())?;
                }
                EventKind::Exited(ExitReason::Lost(reason)) => {
                    self.answered();
                    self.lost(number, reason)?;
                }
                EventKind::Exited(ExitReason::OutOfMemory(reason)) => {
                    self.answered();
                    self.lost_as(number, CallErrorKind::OutOfMemory, reason);
                }
                EventKind::Exited(ExitReason::Unanswered(reason)) => self.unanswered(number, &reason)?,
                EventKind::Exited(ExitReason::Throttled(pause)) => self.refused(number, pause),
                EventKind::Throttled(pause) => self.throttled(self.workers.len(), pause, number),
                EventKind::Started => self.workers.heard(number),
                EventKind::Leaving => self.workers.leaves(number),
            },
            Some(Err(error)) => self.lost(number, error.to_string())?,
            // A stream may end without an exit event: the worker's calls must not be waited for.
            None => {
                self.lost(number, "its events ended without a reason".into())?;
                self.given.forget(number);
            }
        }
        Ok(())
    }

    /// Handles a report: the calls that the worker was given count. If the worker reports other open calls,
    /// it is ended.
    fn report(&mut self, number: Option<u64>, report: &Report) -> Result<()> {
        let (Some(number), run) = (number, report.header.run) else { return Ok(()) };
        if run.job != self.spec.job {
            return Ok(());
        }
        let Checked { counts, strange } = self.given.check(number, &run, report.header.stored);
        for (first, end) in counts {
            if (first, end) == (run.first, run.end()) {
                self.take_report(number, report)?;
            } else {
                self.take_report(number, &report.part(first, end))?;
            }
        }
        // A wrong report of calls that already have an outcome does no harm, and is ignored.
        let strange =
            strange.into_iter().find_map(|(first, end)| self.tracker.open(first, end).first().copied());
        let Some((first, end)) = strange else { return Ok(()) };
        let last = end - 1;
        let calls = if first == last { format!("call {first}") } else { format!("calls {first} to {last}") };
        self.broken(
            number,
            &format!("it reported {calls} on attempt {}, which it was not given", run.attempt),
        )
    }

    /// Handles a report, or the part of one, whose calls all count.
    fn take_report(&mut self, number: u64, report: &Report) -> Result<()> {
        let run = report.header.run;
        self.count_run();
        self.workers.reported(number, (run.first, run.end()));
        if let (Some(commit_buffer), true) = (&mut self.commit_buffer, report.header.stored) {
            // Stored outcomes are final. They replace what other attempts have reported of the calls.
            let fresh = commit_buffer.take_stored(report);
            for (first, end) in self.tracker.settle(run.first, run.end()) {
                self.let_go(first, end);
            }
            if let Some(measured) = &mut self.measured {
                fresh.iter().for_each(|report| measured.add(report));
            }
            self.job.commit(fresh);
            self.budget.went_on();
            return Ok(());
        }
        if let Some(measured) = &mut self.measured {
            measured.add(report);
        }
        if let Some(pace) = &mut self.pace {
            (0..report.len()).for_each(|index| pace.took(report.stats(index).duration()));
        }
        let now = self.now();
        let steps = if report.all_ok() {
            self.tracker.report(Some(number), run.first, run.end(), run.attempt, &|_| Verdict::Ok, now)
        } else {
            let unstarted = (0..report.len()).find(|index| report.tag(*index) == Tag::Unstarted);
            if let Some(index) = unstarted {
                self.did_not_fit(run.slice(u32::try_from(index).unwrap_or(u32::MAX), 1));
            }
            let retry_if = self.retry_if;
            let verdict = |call: u64| {
                let index = usize::try_from(call - run.first).unwrap_or(usize::MAX);
                match report.tag(index) {
                    Tag::Ok => Verdict::Ok,
                    Tag::Unstarted => Verdict::Unstarted,
                    Tag::Lost => Verdict::Lost,
                    Tag::Failed => {
                        Verdict::Failed { again: is_to_be_tried_again(retry_if, report.value(index)) }
                    }
                }
            };
            self.tracker.report(Some(number), run.first, run.end(), run.attempt, &verdict, now)
        };
        let mut committed = Vec::new();
        for step in steps {
            match step {
                Step::Commit(first, end) => committed.push(report.part(first, end)),
                Step::CommitLost { call, .. } => {
                    let lost = report.part(call, call + 1);
                    committed.push(failed_report(&lost.header, &[&self.loss(lost.value(0))]));
                }
                Step::Again(first, end) => {
                    self.tried_again(first, end);
                    self.given.may_repeat(number, (first, end), run.attempt);
                }
                Step::Drop(first, end) => self.given.may_repeat(number, (first, end), run.attempt),
            }
        }
        if self.pace.is_some() {
            self.end_backups(number, &committed);
        }
        self.commit(committed);
        self.tune();
        // A report that only returns calls is no progress: too many of them end the job.
        if (0..report.len()).all(|index| report.tag(index) == Tag::Unstarted) && !report.is_empty() {
            return self.budget.unstarted();
        }
        self.budget.went_on();
        Ok(())
    }

    /// Whether other workers than `number` are live or being started.
    fn has_others(&self, number: u64) -> bool {
        self.workers.len() > usize::from(self.workers.is_there(number))
    }

    /// A worker has ended before it could be given anything: its calls have not begun, and cost no attempt.
    fn not_started(&mut self, number: u64, reason: &str) -> Result<()> {
        tracing::debug!(worker = number, reason, "a worker has not come up");
        let others = self.has_others(number);
        if self.workers.remove(number).is_none() {
            return Ok(());
        }
        self.job.worker_ended(number, false);
        self.tracker.give_up(number);
        if others {
            self.throttled(self.workers.len(), Duration::ZERO, number);
        }
        self.budget.not_started(!others, reason)
    }

    /// A worker breaks the protocol: the worker is ended, its further reports are ignored, and its calls are
    /// dispatched to other workers.
    fn broken(&mut self, number: u64, reason: &str) -> Result<()> {
        if self.given.is_distrusted(number) {
            return Ok(());
        }
        tracing::warn!(worker = number, reason, "a worker does not keep to the protocol, and is ended");
        self.given.distrust(number);
        if let Some(worker) = self.workers.remove(number) {
            self.job.worker_ended(number, true);
            if let Some(id) = worker.invocation {
                self.discard(id);
            }
        }
        let steps = self.tracker.holder_unanswered(number);
        self.job.count(|counts| counts.lost_workers += 1);
        self.job.tell(|| JobEvent::WorkerLost { job: self.job.id(), reason: reason.to_owned() });
        self.take_steps(steps, CallErrorKind::WorkerLost, reason);
        self.budget.broken(reason)
    }

    /// Counts calls that are tried again, and tells the observers.
    fn tried_again(&self, first: u64, end: u64) {
        tracing::debug!(first, end, "calls are tried again");
        self.job.count(|counts| counts.retried += end - first);
        self.job.tell(|| JobEvent::Retried { job: self.job.id(), first, end });
    }

    /// Cancels the other attempt of calls that have just been committed: of a call and its backup attempt
    /// only one is needed.
    fn end_backups(&mut self, done_by: u64, committed: &[Report]) {
        if !self.can_end_calls() {
            return;
        }
        for report in committed {
            let run = report.header.run;
            let cancel = Cancel { job: self.spec.job, calls: vec![(run.first, run.end())] };
            for feed in self.workers.feeds_with(run.first, run.end(), done_by) {
                feed.send(FeedCommand::CancelCalls(cancel.clone()));
            }
            // Workers do not report cancelled calls that they had not begun, so the room is freed here.
            self.workers.reported_by_any((run.first, run.end()));
        }
    }

    /// The encoded error of a lost call that is not tried again. `encoded` is the worker's own error. For a
    /// call that may run at most once the kind is `WorkerLost`, independent of what ended the call.
    fn loss(&self, encoded: &[u8]) -> Vec<u8> {
        if !self.spec.at_most_once {
            return encoded.to_vec();
        }
        let known = rmp_serde::from_slice::<CallError>(encoded);
        let message =
            known.map_or_else(|_| "its sub-worker was lost".to_owned(), |error| error.message().to_owned());
        CallError::new(CallErrorKind::WorkerLost, format!("{message}, and it may run only once")).encode()
    }

    /// A worker is gone or given up: its calls are dispatched to other workers. Reports that it still sends
    /// count.
    pub(super) fn lost(&mut self, number: u64, reason: String) -> Result<()> {
        let words = reason.clone();
        match self.lost_as(number, CallErrorKind::WorkerLost, reason) {
            true => self.budget.lost(&words),
            false => Ok(()),
        }
    }

    /// The platform did not answer, which is no fault of the calls: the loss does not count against them. The
    /// driver asks again more slowly, and ends the job with an error after too long without an answer.
    fn unanswered(&mut self, number: u64, reason: &str) -> Result<()> {
        if self.workers.remove(number).is_none() {
            return Ok(());
        }
        self.job.worker_ended(number, true);
        let steps = self.tracker.holder_unanswered(number);
        tracing::debug!(worker = number, reason, "the platform has not answered");
        self.job.count(|counts| counts.lost_workers += 1);
        self.job.tell(|| JobEvent::WorkerLost { job: self.job.id(), reason: reason.to_owned() });
        self.throttled(self.workers.len(), Duration::ZERO, number);
        self.take_steps(steps, CallErrorKind::WorkerLost, reason);
        self.still_hopes(reason)
    }

    /// Returns an error if the platform has accepted nothing for too long; `reason` is its last answer.
    pub(super) fn still_hopes(&mut self, reason: &str) -> Result<()> {
        self.throttle.still_hopes(reason)
    }

    /// The platform has refused a worker: the calls that it was to get have not begun, and wait again.
    pub(super) fn refused(&mut self, number: u64, pause: Duration) {
        if self.workers.remove(number).is_some() {
            self.job.worker_ended(number, false);
            self.tracker.give_up(number);
            self.given.forget(number);
            self.throttled(self.workers.len(), pause, number);
        }
    }

    /// Notes that the platform accepts workers, on backends where only a worker's response shows that.
    fn answered(&mut self) {
        if self.backend.capabilities().liveness == Liveness::ResponseOnly {
            self.throttle.accepted();
        }
    }

    /// Handles the loss of a worker without counting it against the budget. `kind` is the error of calls that
    /// are not tried again. Returns whether the worker had calls.
    pub(super) fn lost_as(&mut self, number: u64, kind: CallErrorKind, reason: String) -> bool {
        let Some(worker) = self.workers.remove(number) else { return false };
        self.job.worker_ended(number, true);
        if let Some(id) = worker.invocation
            && self.lease.is_some()
        {
            self.end_invocation(id);
        }
        let steps = self.tracker.holder_lost(number);
        let had_calls = !steps.is_empty();
        if had_calls {
            tracing::debug!(worker = number, reason, "a worker was lost");
            self.job.count(|counts| counts.lost_workers += 1);
            self.job.tell(|| JobEvent::WorkerLost { job: self.job.id(), reason: reason.clone() });
        }
        self.take_steps(steps, kind, &reason);
        had_calls
    }

    /// Carries out the tracker's steps for the calls of a worker that is gone.
    fn take_steps(&mut self, steps: Vec<Step>, kind: CallErrorKind, reason: &str) {
        let error = CallError::new(kind, reason).encode();
        let mut committed = Vec::new();
        for step in steps {
            match step {
                Step::CommitLost { call, attempt } => {
                    let kept = self.kept.range(..=call).next_back();
                    let Some((first, Kept { calls, .. })) = kept else { continue };
                    let run = calls.run.slice(u32::try_from(call - first).unwrap_or(u32::MAX), 1);
                    let run = Run { attempt, ..run };
                    committed.push(failed_report(&blank_header(run), &[&error]));
                }
                Step::Again(first, end) => self.tried_again(first, end),
                Step::Commit(..) | Step::Drop(..) => {}
            }
        }
        self.budget.gave_up(committed.len());
        self.commit(committed);
    }

    /// Commits final outcomes: they become visible at once, or, in a durable job, after they were stored.
    pub(super) fn commit(&mut self, reports: Vec<Report>) {
        self.keep_failed(&reports);
        reports.iter().for_each(|report| self.let_go(report.header.run.first, report.header.run.end()));
        let Some(commit_buffer) = &mut self.commit_buffer else { return self.job.commit(reports) };
        reports.iter().for_each(|report| commit_buffer.add(report));
        self.store();
    }

    /// Commits the same encoded error for ranges of calls. The ranges can be far larger than the memory
    /// (inputs that were never produced), so they are not expanded unless the job is durable.
    pub(super) fn commit_failed(&mut self, calls: Vec<(u64, u64)>, error: &[u8]) {
        if self.commit_buffer.is_some() {
            // A durable job stores every outcome by chunk, and all its inputs exist, so that their number is
            // bounded.
            return self.commit(failed_together(self.spec.job, calls, error).collect());
        }
        calls.iter().for_each(|(first, end)| self.let_go(*first, *end));
        self.job.commit_failed(&calls, error);
    }

    fn store(&mut self) {
        if let Some(commit_buffer) = &mut self.commit_buffer {
            commit_buffer.store(|first, end| {
                self.job
                    .read(|outcomes| (first..end).filter_map(|call| outcomes.log(call).cloned()).collect())
            });
        }
    }

    /// Makes the outcomes of a stored chunk visible.
    pub(super) fn make_visible(&mut self, bundle: ChunkOutcomes) {
        if let Some(report) = bundle.reports.first() {
            let logs = crate::protocol::Logs { job: report.header.run.job, entries: bundle.logs };
            self.job.add_logs(logs, None);
        }
        self.job.commit(bundle.reports);
        self.store();
    }

    /// Keeps the arguments of failed calls with the job, so that they can be run again.
    fn keep_failed(&self, reports: &[Report]) {
        if reports.iter().all(Report::all_ok) || !self.job.repeat().keeps() {
            return;
        }
        let failed = reports.iter().flat_map(|report| {
            let indices = (0..report.len()).filter(|index| report.tag(*index) != Tag::Ok);
            indices.map(|index| report.header.run.first + index as u64)
        });
        for call in failed {
            let Some((first, Kept { calls, .. })) = self.kept.range(..=call).next_back() else { continue };
            let index = usize::try_from(call - first).unwrap_or(usize::MAX);
            if index < calls.arguments.len() {
                self.job.repeat().keep(call, &calls.arguments, index);
            }
        }
    }

    /// Drops the kept arguments of calls that have just got an outcome.
    fn let_go(&mut self, first: u64, end: u64) {
        let touched = self.kept.range(..end).rev().take_while(|(_, kept)| kept.calls.run.end() > first);
        let touched: Vec<_> = touched.map(|(start, _)| *start).collect();
        for start in touched {
            if let Some(kept) = self.kept.get_mut(&start) {
                let overlap = kept.calls.run.end().min(end) - start.max(first);
                kept.open = kept.open.saturating_sub(u32::try_from(overlap).unwrap_or(u32::MAX));
                if kept.open == 0 {
                    self.kept.remove(&start);
                }
            }
        }
    }
}

/// Asks the user's `retry_if`. A panic of that function counts as no, and so does an error that does not
/// decode.
fn is_to_be_tried_again(retry_if: Option<RetryIf>, error: &[u8]) -> bool {
    let Ok(error) = rmp_serde::from_slice::<CallError>(error) else { return false };
    retry_if.is_none_or(|wanted| catch_unwind(|| wanted(&error)).unwrap_or(false))
}
