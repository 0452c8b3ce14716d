//! Frames of sub-workers: their hellos, and the outcomes and logs of calls on the way to the owners of the jobs.

use std::time::Duration;

use bytes::Bytes;
use lithops_core::{
    error::{CallError, Result},
    id::JobId,
    protocol::{
        Calls, Frame, FrameKind, HEADER_LEN, Hello, LogEntry, Logs, Report, ReportBuilder, ReportHeader, Tag,
    },
};

use super::{
    Pool,
    exit_cause::EndReason,
    jobs::{Committed, Decision, JobOwner},
    slots::{SlotEvent, SlotEventKind, Usage},
    state::unexpected,
    storage_tasks::StorageResult,
};
use crate::clock;

impl Pool {
    /// Takes in what happened to a slot.
    pub(super) fn slot_event(&mut self, event: SlotEvent) -> Result<()> {
        match event.kind {
            SlotEventKind::Frame(frame) => {
                // A wrong frame is the fault of this sub-worker alone.
                if self.slot_frame(event.slot, &frame).is_err()
                    && let Some(slot) = self.slots.get_mut(&event.slot)
                {
                    slot.end_damaged(clock::monotonic(), false);
                }
                Ok(())
            }
            SlotEventKind::NestedOpened(outbox) => {
                self.open_nested(event.slot, outbox);
                Ok(())
            }
            SlotEventKind::NestedFrame(frame) => self.nested_frame(event.slot, &frame),
            SlotEventKind::NestedClosed => self.end_nested(event.slot),
            SlotEventKind::Exited(exit, usage, broken) => {
                self.exited(event.slot, exit, usage, broken.as_ref())
            }
        }
    }

    fn slot_frame(&mut self, number: u64, frame: &Frame) -> Result<()> {
        match frame.kind {
            FrameKind::Report => self.report(number, frame),
            FrameKind::Hello => {
                Hello::read(frame)?;
                self.starts.succeeded();
                if let Some(slot) = self.slots.get_mut(&number) {
                    slot.ready = true;
                    slot.heard_at = clock::monotonic();
                }
                Ok(())
            }
            kind => Err(unexpected(&format!("a {kind:?} frame from a sub-worker"))),
        }
    }

    fn report(&mut self, number: u64, frame: &Frame) -> Result<()> {
        let id = Report::read_header(&frame.body)?.run.job;
        // A lent value can go on as it is when the pool itself has no use for it.
        let passes_on = self.is_of(JobOwner::Client, id)
            && self.outgoing.client_shares()
            && self.jobs.get(&id).is_some_and(|job| job.commits.is_none() && job.spec.inline_limit.is_none());
        let fetched;
        let frame = match &frame.end {
            Some(_) if !passes_on => {
                fetched = frame.clone().whole(&mut self.regions)?;
                &fetched
            }
            _ => frame,
        };
        let Some(slot) = self.slots.get_mut(&number) else { return Ok(()) };
        let report = Report::read_frame(frame)?;
        let header = report.header;
        // Nothing counts that comes from a sub-worker whose memory a call has overwritten.
        if slot.ending.is_some_and(|(ending, ..)| ending == EndReason::Damaged) {
            return Ok(());
        }
        if !slot.can_report(&report) {
            if let Some(job) = slot.job().and_then(|id| self.jobs.get_mut(&id)) {
                job.one_by_one = true;
            }
            return Err(unexpected("a report that cannot be"));
        }
        slot.heard_at = clock::monotonic();
        let limit = self.jobs.get(&id).map_or(0, |job| job.spec.log_limit);
        slot.log.drain(limit);
        let logs = slot.take_logs();
        let Some(at) = slot.batches.iter().position(|batch| batch.number == header.batch) else {
            return Ok(());
        };
        slot.batches[at].reported += header.run.count;
        slot.reported_cpu += header.cpu;
        if header.batch_done {
            slot.batches.remove(at);
        }
        if slot.disowned {
            return Ok(());
        }
        let idle = slot.batches.is_empty();
        if let Some(job) = self.jobs.get_mut(&id) {
            if !report.is_empty() {
                let (started, ended) = (report.times(0).0, report.times(report.len() - 1).1);
                job.measured(report.len(), Duration::from_nanos(ended.saturating_sub(started)));
            }
            if idle {
                job.slots -= 1;
            }
        }
        // Logs go first: when the owner has an outcome, it has the log of the call.
        self.send_logs(logs)?;
        if report.is_empty() {
            return Ok(());
        }
        if self.is_durable(id) {
            self.keep(&report);
        } else if let Some(loan) = &frame.end {
            self.outgoing.lent_report(&frame.body, loan);
        } else if !self.stores_report(header.run, &frame.body) {
            let owner = self.owner_of(id);
            self.outgoing.report(owner, &frame.body);
        }
        Ok(())
    }

    /// Takes in outcomes of a durable job: they are reported when their chunk is stored, or at once where that cannot
    /// be done here.
    pub(super) fn keep(&mut self, report: &Report) {
        let id = report.header.run.job;
        let Some(commits) = self.jobs.get_mut(&id).and_then(|job| job.commits.as_mut()) else { return };
        let Decision { pass_on, store } = commits.ended(report);
        pass_on.iter().for_each(|report| self.send_report(report));
        for chunk in store {
            let results = self.storage.results.clone();
            tokio::spawn(async move {
                // The receiver is gone when the pool is: then the result is not needed.
                let _ = results.send(StorageResult::Chunk(id, chunk.commit().await));
            });
        }
    }

    /// Reports a chunk of a durable job that this worker, or another one before it, has committed.
    pub(super) fn committed(&mut self, job: JobId, committed: Committed) -> Result<()> {
        if committed.by_another {
            // The logs of this worker's own run have been sent, and these are of the outcomes that count.
            self.send_logs(committed.bundle.logs.into_iter().map(|entry| (job, entry)).collect())?;
        }
        for mut report in committed.bundle.reports {
            report.header.stored = committed.stored;
            self.send_report(&report);
        }
        Ok(())
    }

    /// Sends a report, through the storage if no message can hold it.
    pub(super) fn send_report(&mut self, report: &Report) {
        let body = Bytes::from(report.encode());
        if !self.stores_report(report.header.run, &body) {
            let owner = self.owner_of(report.header.run.job);
            self.outgoing.report(owner, &body);
        }
    }

    /// Reports an outcome that the pool itself gives to a call, in the place of its sub-worker, with what the call has
    /// used as far as it is known.
    pub(super) fn outcome(
        &mut self,
        call: &Calls,
        (pid, usage): (u32, Usage),
        tag: Tag,
        error: &CallError,
        begun_at: u64,
    ) -> Result<()> {
        let offset = clock::epoch_offset();
        let mut builder = ReportBuilder::default();
        builder.value().extend_from_slice(&error.encode());
        builder.end_call(tag, begun_at.wrapping_add(offset), clock::monotonic().wrapping_add(offset));
        let header = ReportHeader {
            run: call.run,
            batch: 0,
            batch_done: true,
            stored: false,
            pid,
            queued_at: call.queued_at,
            cpu: usage.cpu,
            peak_memory: usage.peak_memory,
            delay: Duration::ZERO,
        };
        if self.is_durable(call.run.job) {
            let mut frame = Vec::new();
            builder.drain_into(&header, &mut frame);
            let body = Bytes::from(frame).slice(HEADER_LEN..);
            self.keep(&Report::read(&body)?);
        } else {
            builder.drain_into(&header, self.out_of(call.run.job));
        }
        Ok(())
    }

    /// Sends the output of calls, those of one job after another in one frame.
    pub(super) fn send_logs(&mut self, logs: Vec<(JobId, LogEntry)>) -> Result<()> {
        for (job, entry) in &logs {
            if let Some(commits) = self.jobs.get_mut(job).and_then(|job| job.commits.as_mut()) {
                commits.printed(entry);
            }
        }
        let mut logs = logs.into_iter().peekable();
        while let Some((job, first)) = logs.next() {
            let mut entries = vec![first];
            while let Some((_, entry)) = logs.next_if(|(other, _)| *other == job) {
                entries.push(entry);
            }
            Frame::write(FrameKind::Logs, &Logs { job, entries }, self.out_of(job))?;
        }
        Ok(())
    }
}
