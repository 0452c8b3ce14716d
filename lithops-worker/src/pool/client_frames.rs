//! Frames of the client, and of executors inside of calls: jobs, calls, and what becomes of them.

use std::time::Duration;

use lithops_core::{
    error::Result,
    id::JobId,
    protocol::StoredCalls,
    protocol::{
        Calls, Cancel, Deadline, Forget, Frame, FrameKind, HandBack, JobSpec, Secrets, SetProcesses,
        frame_header, unstarted_report,
    },
    storage,
};

use super::{
    Pool,
    exit_cause::EndReason,
    jobs::{Due, JobOwner, PoolJob},
    slots::reap_orphans,
    state::unexpected,
};
use crate::clock;

/// A sub-worker is told at once to forget a job with more bytes of shared values than this: the memory is worth a
/// wake-up. Of other jobs it hears with its next batch.
const MUCH_SHARED: usize = 64 << 10;

impl Pool {
    /// Takes in a frame of the client.
    pub(super) fn client_frame(&mut self, frame: &Frame) -> Result<()> {
        self.frame_of(JobOwner::Client, frame)
    }

    /// Takes in a frame of the client, or of an executor inside of a call.
    pub(super) fn frame_of(&mut self, owner: JobOwner, frame: &Frame) -> Result<()> {
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
            // A call must not choose what opens the storages of other calls.
            FrameKind::Secrets if owner == JobOwner::Client => {
                let Secrets { storage: place, secrets } = frame.decode()?;
                self.starts.add_secrets(&frame.body);
                storage::give(&place, secrets.into_iter().collect());
            }
            FrameKind::Deadline => {
                let deadline: Deadline = frame.decode()?;
                if let Some(job) = self.jobs.get_mut(&deadline.job).filter(|job| job.owner == owner) {
                    job.due = Some(Due::of(&deadline));
                }
            }
            FrameKind::HandBack => {
                let told: HandBack = frame.decode()?;
                if let Some(job) = self.jobs.get_mut(&told.job).filter(|job| job.owner == owner) {
                    job.due = Some(Due::told(&told));
                }
            }
            FrameKind::Processes => {
                let SetProcesses { job, worker_processes } = frame.decode()?;
                let job = self.jobs.get_mut(&job).filter(|job| job.owner == owner);
                // The job may be forgotten already.
                if let Some(job) = job {
                    job.worker_processes = worker_processes.max(1) as usize;
                    self.count_most();
                }
            }
            kind => return Err(unexpected(&format!("a {kind:?} frame"))),
        }
        Ok(())
    }

    /// Begins a job: the pool may have calls of it from now on.
    pub(super) fn begin_job(
        &mut self,
        owner: JobOwner,
        spec: JobSpec,
        frame: bytes::Bytes,
        unreadable: Option<String>,
    ) {
        if self.jobs.is_empty() {
            // The platform may have stopped the whole sandbox since the last job ended: that time does not count as
            // the time of a start.
            let now = clock::monotonic();
            self.slots.values_mut().filter(|slot| !slot.ready).for_each(|slot| slot.started_at = now);
        }
        let job = self.jobs.entry(spec.job).or_insert_with(|| PoolJob::new(spec, frame.into(), owner));
        job.unreadable = unreadable;
        if owner == JobOwner::Client && self.leaving.is_some() {
            job.due = self.leaving;
        }
        self.count_most();
    }

    /// Begins no further call of the client, because the platform ends the worker soon, and says so. What runs is ended after
    /// `grace`.
    pub(super) fn leave(&mut self, grace: Duration) {
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.owner == JobOwner::Client) {
            let due = Due::told(&HandBack { job: *id, within: grace });
            (job.due, self.leaving) = (Some(due), Some(due));
        }
        // A job that is announced now gets its calls back.
        let none = || Due::told(&HandBack { job: JobId::from_bytes([0; 16]), within: Duration::ZERO });
        self.leaving = self.leaving.or_else(|| Some(none()));
        self.outgoing.to(Some(JobOwner::Client)).extend_from_slice(&frame_header(FrameKind::Leaving, 0));
    }

    /// Queues calls of a job that was announced.
    pub(super) fn give(&mut self, owner: JobOwner, calls: Calls) -> Result<()> {
        let job = self.jobs.get_mut(&calls.run.job).filter(|job| job.owner == owner);
        let job = job.ok_or_else(|| unexpected("calls of a job that was not announced"))?;
        if let Some(why) = job.unreadable.clone() {
            self.lose(calls.run, &why);
            return Ok(());
        }
        if job.due.is_some_and(|due| due.last_start <= clock::monotonic()) {
            unstarted_report(calls.run).write(self.out_of(calls.run.job));
            return Ok(());
        }
        let left = job.given(&calls);
        job.push_back(calls);
        left.iter().for_each(|report| self.send_report(report));
        Ok(())
    }

    /// Cancels calls: those that wait are dropped, those that run are ended.
    pub(super) fn cancel(&mut self, cancel: &Cancel) {
        let Some(job) = self.jobs.get_mut(&cancel.job) else { return };
        job.cancel(&cancel.calls);
        let left = job.commits.as_mut().map(|commits| commits.cancelled(&cancel.calls)).unwrap_or_default();
        left.iter().for_each(|report| self.send_report(report));
        let Some(job) = self.jobs.get_mut(&cancel.job) else { return };
        let now = clock::monotonic();
        for slot in self.slots.values_mut().filter(|slot| slot.job() == Some(cancel.job)) {
            // The job drops cancelled calls as they come back; the others are given out anew.
            slot.take_back_all(job);
            let running = slot.running().map(|(batch, index)| (batch.number, index, batch.calls.run.first));
            if let Some((number, index, first)) = running
                && job.is_cancelled(first + u64::from(index))
            {
                slot.ask_to_end(EndReason::Cancelled, number, index, now);
            }
        }
    }

    /// Drops a job, and ends what still runs of it.
    pub(super) fn forget(&mut self, job: JobId) -> Result<()> {
        // Calls still run when the job has failed as a whole, as by an error of the client's inputs.
        self.cancel(&Cancel { job, calls: vec![(0, u64::MAX)] });
        self.slots.values_mut().filter(|slot| slot.job() == Some(job)).for_each(|slot| slot.disowned = true);
        let forgotten = self.jobs.remove(&job);
        let shared = forgotten.map_or(0, |job| job.spec.shared.iter().map(|value| value.len()).sum());
        self.count_most();
        let mut frame = Vec::new();
        Frame::write(FrameKind::Forget, &Forget { job }, &mut frame)?;
        self.slots.values_mut().for_each(|slot| slot.forget(job, &frame, shared > MUCH_SHARED));
        reap_orphans();
        if self.jobs.is_empty() {
            self.end_surplus();
        }
        Ok(())
    }
}
