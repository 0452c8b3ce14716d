//! [`Pool`]: all state of the pool, and what it does when something happens.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use lithops_core::{
    error::{CallError, Error, ErrorKind, Result},
    id::JobId,
    memory::Regions,
    process::START_LIMIT,
    protocol::{
        Calls, Cancel, Deadline, Forget, Frame, FrameKind, HEADER_LEN, Hello, JobSpec, LogEntry, Logs,
        Outbox, Report, ReportBuilder, ReportHeader, Secrets, SetProcesses, Setup, StoredCalls, Tag,
        frame_header, unstarted_report,
    },
    storage,
};
use rustix::process::Signal;
use tokio::sync::mpsc;

use super::{
    bundles::{Decided, Kept},
    cause::Ending,
    deadline::Due,
    events::{SlotEvent, SlotEventKind},
    job::Job,
    log_pipe::Text,
    memory::{self, Memory},
    nesting::{Nested, Owner},
    offspring,
    parcels::PayloadStore,
    sharing::take_back_all,
    shortage::Shortage,
    slot::{Doing, Slot},
};
use crate::clock;

/// How often the memory of a sub-worker with a long call is looked at.
const SAMPLE: Duration = Duration::from_millis(200);
/// What has ended before a ledger was damaged has been reported after this long: the call that still runs did it.
const UNTOLD: Duration = Duration::from_millis(500);
/// A report of more bytes than this is passed on as it is, rather than copied to others.
const LARGE: usize = 64 << 10;
/// When this many sub-workers in a row end by themselves before they say hello, none ever will.
pub(super) const FALSE_STARTS: u32 = 3;
/// So many that are killed by somebody meanwhile count as one: that says little of the next.
pub(super) const KILLED_STARTS: u32 = 10;

/// All state of the pool. Everything that happens goes through it, one thing after another.
#[derive(Debug)]
pub struct Pool {
    pub(super) setup: Setup,
    /// The frames that tell a sub-worker what opens the storage.
    pub(super) secrets: Vec<u8>,
    client: Outbox,
    /// Frames for the client, sent together at the end of a turn.
    pub(super) out: Vec<u8>,
    /// The executors inside of calls.
    pub(super) nested: Nested,
    pub(super) jobs: HashMap<JobId, Job>,
    /// How often a job was given a sub-worker.
    pub(super) turns: u64,
    /// The most calls that get on with their work at once: the `worker_processes` of the client's job that has most.
    pub(super) most: usize,
    /// The most it ever was.
    pub(super) widest: usize,
    pub(super) slots: BTreeMap<u64, Slot>,
    pub(super) next_slot: u64,
    pub(super) false_starts: u32,
    pub(super) shortage: Shortage,
    /// Whether more sub-workers are to be started at the next turn.
    pub(super) starts_more: bool,
    pub(super) memory: Memory,
    pub(super) events: mpsc::UnboundedSender<SlotEvent>,
    pub(super) happened: mpsc::UnboundedReceiver<SlotEvent>,
    /// Chunks of durable jobs that have been stored.
    pub(super) stored: mpsc::UnboundedReceiver<(JobId, Kept)>,
    storing: mpsc::UnboundedSender<(JobId, Kept)>,
    /// What messages cannot hold.
    pub(super) payload_store: PayloadStore,
    /// For what sub-workers share and the client is sent.
    regions: Regions,
}

impl Pool {
    /// An empty pool that reports to `client`; must be called inside a runtime.
    #[must_use]
    pub fn new(setup: Setup, client: Outbox) -> Self {
        let (events, happened) = mpsc::unbounded_channel();
        let (storing, stored) = mpsc::unbounded_channel();
        Self {
            setup,
            secrets: Vec::new(),
            client,
            out: Vec::new(),
            nested: Nested::default(),
            jobs: HashMap::new(),
            turns: 0,
            most: 0,
            widest: 0,
            slots: BTreeMap::new(),
            next_slot: 0,
            false_starts: 0,
            shortage: Shortage::default(),
            starts_more: false,
            memory: Memory::of_this_process(),
            events,
            happened,
            stored,
            storing,
            payload_store: PayloadStore::new(),
            regions: Regions::default(),
        }
    }

    /// Takes in a frame of the client.
    pub(super) fn client_frame(&mut self, frame: &Frame) -> Result<()> {
        self.frame_of(Owner::Client, frame)
    }

    /// Takes in a frame of the client, or of an executor inside of a call.
    pub(super) fn frame_of(&mut self, owner: Owner, frame: &Frame) -> Result<()> {
        if self.waits_for_job(owner, frame)? {
            return Ok(());
        }
        match frame.kind {
            FrameKind::Job => {
                let spec: JobSpec = frame.decode()?;
                if spec.stored_shared.is_empty() {
                    self.begin_job(owner, spec, frame.body.clone(), None);
                } else if !self.jobs.contains_key(&spec.job) {
                    self.fetch_job(owner, spec);
                }
            }
            FrameKind::Calls => self.give(owner, Calls::read_frame(frame)?)?,
            FrameKind::StoredCalls => {
                let stored = StoredCalls::read(frame)?;
                if !self.is_of(owner, stored.run.job) {
                    return Err(unexpected("calls of a job that was not announced"));
                }
                self.fetch_calls(owner, stored);
            }
            FrameKind::Forget => {
                let Forget { job } = frame.decode()?;
                if self.is_of(owner, job) {
                    self.forget(job)?;
                }
            }
            FrameKind::Cancel => {
                let cancel: Cancel = frame.decode()?;
                if self.is_of(owner, cancel.job) {
                    self.cancel(&cancel);
                }
            }
            FrameKind::Secrets if owner == Owner::Client => {
                let Secrets { storage: place, secrets } = frame.decode()?;
                self.secrets.extend_from_slice(&frame_header(FrameKind::Secrets, frame.body.len()));
                self.secrets.extend_from_slice(&frame.body);
                storage::give(&place, secrets.into_iter().collect());
            }
            FrameKind::Deadline => {
                let deadline: Deadline = frame.decode()?;
                if let Some(job) = self.jobs.get_mut(&deadline.job).filter(|job| job.owner == owner) {
                    job.due = Some(Due::of(&deadline));
                }
            }
            FrameKind::Processes => {
                let SetProcesses { job, worker_processes } = frame.decode()?;
                let job = self.jobs.get_mut(&job).filter(|job| job.owner == owner);
                // It may be forgotten already.
                if let Some(job) = job {
                    job.worker_processes = worker_processes.max(1) as usize;
                    self.count_most();
                }
            }
            kind => return Err(unexpected(&format!("a {kind:?} frame"))),
        }
        Ok(())
    }

    /// A job that the pool may have calls of from now on.
    pub(super) fn begin_job(
        &mut self,
        owner: Owner,
        spec: JobSpec,
        frame: bytes::Bytes,
        unreadable: Option<String>,
    ) {
        if self.jobs.is_empty() {
            // The whole machine may have stood still since the last job ended.
            let now = clock::monotonic();
            self.slots.values_mut().filter(|slot| !slot.ready).for_each(|slot| slot.started_at = now);
        }
        let job = self.jobs.entry(spec.job).or_insert_with(|| Job::new(spec, frame.into(), owner));
        job.unreadable = unreadable;
        self.count_most();
    }

    /// Calls of a job that was announced.
    pub(super) fn give(&mut self, owner: Owner, calls: Calls) -> Result<()> {
        let job = self.jobs.get_mut(&calls.run.job).filter(|job| job.owner == owner);
        let job = job.ok_or_else(|| unexpected("calls of a job that was not announced"))?;
        if let Some(why) = job.unreadable.clone() {
            self.lose(calls.run, &why);
            return Ok(());
        }
        if job.due.is_some_and(|due| due.last_start <= clock::monotonic()) {
            let report = unstarted_report(calls.run);
            write_report(&report, self.out_of(calls.run.job));
            return Ok(());
        }
        let left = job.given(&calls);
        job.push_back(calls);
        left.iter().for_each(|report| self.send_report(report));
        Ok(())
    }

    pub(super) fn count_most(&mut self) {
        let of_client = self.jobs.values().filter(|job| job.owner == Owner::Client);
        // Without a client's job it stays as it is, for jobs that outlive the call that has started them.
        if let Some(most) = of_client.map(|job| job.worker_processes).max() {
            self.most = most;
            self.widest = self.widest.max(most);
        }
    }

    pub(super) fn cancel(&mut self, cancel: &Cancel) {
        let Some(job) = self.jobs.get_mut(&cancel.job) else { return };
        job.cancel(&cancel.calls);
        let left = job.bundles.as_mut().map(|bundles| bundles.cancelled(&cancel.calls)).unwrap_or_default();
        left.iter().for_each(|report| self.send_report(report));
        let Some(job) = self.jobs.get_mut(&cancel.job) else { return };
        let now = clock::monotonic();
        for slot in self.slots.values_mut().filter(|slot| slot.job() == Some(cancel.job)) {
            // What is cancelled is dropped on its way back; the rest is given out anew.
            take_back_all(slot, job);
            let running = slot.running().map(|(batch, index)| (batch.number, index, batch.calls.run.first));
            if let Some((number, index, first)) = running
                && job.is_cancelled(first + u64::from(index))
            {
                slot.ask_to_end(Ending::Cancelled, number, index, now);
            }
        }
    }

    /// Takes in what happened to a slot.
    pub(super) fn slot_event(&mut self, event: SlotEvent) -> Result<()> {
        match event.kind {
            SlotEventKind::Frame(frame) => {
                // What a sub-worker says wrongly is held against it alone.
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
            SlotEventKind::Exited(exit, broken) => self.exited(event.slot, exit, broken.as_ref()),
        }
    }

    fn slot_frame(&mut self, number: u64, frame: &Frame) -> Result<()> {
        match frame.kind {
            FrameKind::Report => self.report(number, frame),
            FrameKind::Hello => {
                Hello::read(frame)?;
                self.false_starts = 0;
                self.shortage.ends();
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
        let passes_on = self.is_of(Owner::Client, id)
            && self.client.shares()
            && self.jobs.get(&id).is_some_and(|job| job.bundles.is_none() && job.spec.inline_limit.is_none());
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
        if slot.ending.is_some_and(|(ending, ..)| ending == Ending::Damaged) {
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
        let logs = logs_of(slot);
        let Some(place) = slot.batches.iter().position(|batch| batch.number == header.batch) else {
            return Ok(());
        };
        slot.batches[place].reported += header.run.count;
        if header.batch_done {
            slot.batches.remove(place);
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
        self.send_logs(logs)?;
        if report.is_empty() {
            return Ok(());
        }
        if self.is_durable(id) {
            self.keep(&report);
        } else if let Some(loan) = &frame.end {
            self.client.send(&self.out);
            self.out.clear();
            self.client.send_lent(FrameKind::Report, &frame.body, loan);
        } else if !self.stores_report(header.run, &frame.body) {
            let is_clients = self.is_of(Owner::Client, id);
            let out = self.out_of(id);
            out.extend_from_slice(&frame_header(FrameKind::Report, frame.body.len()));
            if is_clients && frame.body.len() > LARGE {
                self.client.send_with(&self.out, &frame.body);
                self.out.clear();
            } else {
                out.extend_from_slice(&frame.body);
            }
        }
        Ok(())
    }

    pub(super) fn is_durable(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.bundles.is_some())
    }

    /// Takes in outcomes of a durable job: they are reported once their chunk is stored, or at once where that cannot
    /// be done here.
    pub(super) fn keep(&mut self, report: &Report) {
        let id = report.header.run.job;
        let Some(bundles) = self.jobs.get_mut(&id).and_then(|job| job.bundles.as_mut()) else { return };
        let Decided { pass_on, store } = bundles.ended(report);
        pass_on.iter().for_each(|report| self.send_report(report));
        for whole in store {
            let storing = self.storing.clone();
            tokio::spawn(async move {
                // The pool is gone when the client is.
                let _ = storing.send((id, whole.store().await));
            });
        }
    }

    /// A chunk of a durable job has been stored, by this worker or another.
    pub(super) fn stored(&mut self, job: JobId, kept: Kept) -> Result<()> {
        if kept.theirs {
            self.send_logs(kept.bundle.logs.into_iter().map(|entry| (job, entry)).collect())?;
        }
        for mut report in kept.bundle.reports {
            report.header.stored = kept.stored;
            self.send_report(&report);
        }
        Ok(())
    }

    fn send_report(&mut self, report: &Report) {
        let body = bytes::Bytes::from(report.encode());
        if !self.stores_report(report.header.run, &body) {
            let out = self.out_of(report.header.run.job);
            out.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
            out.extend_from_slice(&body);
        }
    }

    /// An outcome that the pool itself has to tell.
    pub(super) fn outcome(
        &mut self,
        call: &Calls,
        pid: u32,
        tag: Tag,
        error: &CallError,
        begun_at: u64,
    ) -> Result<()> {
        let encoded = rmp_serde::to_vec_named(error)
            .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode an error: {error}")))?;
        let offset = clock::epoch_offset();
        let mut builder = ReportBuilder::default();
        builder.value().extend_from_slice(&encoded);
        builder.end_call(tag, begun_at.wrapping_add(offset), clock::monotonic().wrapping_add(offset));
        let header = ReportHeader {
            run: call.run,
            batch: 0,
            batch_done: true,
            stored: false,
            pid,
            queued_at: call.queued_at,
            cpu: Duration::ZERO,
            peak_memory: 0,
            delay: Duration::ZERO,
        };
        if self.is_durable(call.run.job) {
            let mut frame = Vec::new();
            builder.drain_into(&header, &mut frame);
            let body = bytes::Bytes::from(frame).slice(HEADER_LEN..);
            self.keep(&Report::read(&body)?);
        } else {
            builder.drain_into(&header, self.out_of(call.run.job));
        }
        Ok(())
    }

    pub(super) fn send_logs(&mut self, logs: Vec<(JobId, LogEntry)>) -> Result<()> {
        for (job, entry) in &logs {
            if let Some(bundles) = self.jobs.get_mut(job).and_then(|job| job.bundles.as_mut()) {
                bundles.printed(entry);
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

    /// Gives calls to sub-workers, starting more where there is work for them, and tells the client what happened.
    pub(super) fn turn(&mut self) -> Result<()> {
        self.make_way();
        loop {
            self.fill_idle()?;
            if self.starts_more {
                break;
            }
            self.prefetch();
            if !self.take_over() {
                break;
            }
        }
        if !self.out.is_empty() {
            self.client.send(&self.out);
            self.out.clear();
            if self.out.capacity() > 4 << 20 {
                self.out = Vec::new();
            }
        }
        self.nested.send();
        Ok(())
    }

    /// Whether any sub-worker has calls, is starting or is ending, or a start is to be tried again, so that time
    /// matters.
    pub(super) fn is_busy(&self) -> bool {
        let waits = self.shortage.is_there() && self.jobs.values().any(Job::waits);
        waits
            || self
                .slots
                .values()
                .any(|slot| !slot.batches.is_empty() || slot.ending.is_some() || !slot.ready)
    }

    /// Looks at the time: calls past their timeout, pipes that fill up, memory. Returns whether to look again soon.
    pub(super) fn tick(&mut self) -> bool {
        let now = clock::monotonic();
        let mut soon = false;
        self.give_back(now);
        offspring::reap_orphans();
        let has_jobs = !self.jobs.is_empty();
        for slot in self.slots.values_mut() {
            let mut job = slot.job().and_then(|id| self.jobs.get_mut(&id));
            soon |= slot.log.relieve(job.as_ref().map_or(1 << 20, |job| job.spec.log_limit));
            let since = |moment: u64| Duration::from_nanos(now.saturating_sub(moment));
            if !slot.ready && has_jobs && since(slot.started_at) > START_LIMIT {
                slot.signal(Signal::KILL);
                self.false_starts = FALSE_STARTS * KILLED_STARTS;
            }
            // Whoever was asked to end ends, whatever it makes of the request.
            if slot.asked_to_end_at.is_some_and(|asked| since(asked) > self.setup.grace) {
                slot.signal(Signal::KILL);
            }
            let running = match slot.doing() {
                Doing::Runs(batch, index) => Some((batch.number, index)),
                Doing::Nothing => {
                    slot.damaged_since = None;
                    continue;
                }
                Doing::Damaged => {
                    let damaged_since = *slot.damaged_since.get_or_insert(now);
                    if since(damaged_since.max(slot.heard_at)) < UNTOLD {
                        continue;
                    }
                    if let Some(job) = &mut job {
                        job.one_by_one = true;
                    }
                    slot.end_damaged(now, true);
                    continue;
                }
            };
            slot.damaged_since = None;
            let ran = since(slot.begun_at(now));
            if ran > SAMPLE && since(slot.resident.1) > SAMPLE {
                slot.resident = (memory::resident(slot.pid), now);
            }
            if let Some(job) = &mut job
                && let Some(timeout) = job.spec.timeout
                && let Some((number, index)) = running
                && ran > timeout
                && slot.ending.is_none()
            {
                take_back_all(slot, job);
                slot.ask_to_end(Ending::TimedOut(timeout), number, index, now);
            }
        }
        soon
    }

    /// Ends all sub-workers, at once.
    pub(super) fn end(&self) {
        self.slots.values().for_each(|slot| slot.signal(Signal::KILL));
    }
}

/// What the calls of a slot have printed whose ends have been seen in the log.
pub(super) fn logs_of(slot: &mut Slot) -> Vec<(JobId, LogEntry)> {
    let ended = slot.log.take_ended();
    let mut logs = Vec::new();
    for (number, index, text) in ended {
        // A mark of no batch is what the program printed before its first call.
        if let Some(batch) = slot.batch_of(number)
            && index < batch.calls.run.count
            && !text.is_empty()
        {
            logs.push((batch.calls.run.job, entry(&batch.calls, index, text)));
        }
    }
    logs
}

pub(super) fn entry(calls: &Calls, index: u32, text: Text) -> LogEntry {
    let (head, dropped, tail) = text.into_parts();
    LogEntry { call: calls.run.first + u64::from(index), attempt: calls.run.attempt, head, dropped, tail }
}

pub(super) fn write_report(report: &Report, out: &mut Vec<u8>) {
    let body = report.encode();
    out.extend_from_slice(&frame_header(FrameKind::Report, body.len()));
    out.extend_from_slice(&body);
}

pub(super) fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the worker was sent {what}"))
}
