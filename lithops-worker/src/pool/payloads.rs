//! Payloads that no message can hold: the pool fetches arguments and shared values from the storage, and stores reports
//! there.

use bytes::Bytes;
use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{
        Cancel, Deadline, Forget, Frame, FrameKind, HEADER_LEN, JobSpec, Run, SetProcesses, lost_report,
    },
    protocol::{StoredCalls, StoredReport},
};

use super::{
    Pool,
    jobs::{Due, JobOwner, PayloadStore, PoolJob, no_storage},
    storage_tasks::StorageResult,
};

impl Pool {
    /// Keeps a frame of a job whose shared values are being fetched. Returns whether it was one.
    pub(super) fn waits_for_job(&mut self, owner: JobOwner, frame: &Frame) -> Result<bool> {
        // As a rule no job is arriving, and then no frame is decoded twice.
        if self.storage.arriving.is_empty() {
            return Ok(false);
        }
        let job = match frame.kind {
            FrameKind::Calls => Run::read(&frame.body)?.job,
            FrameKind::StoredCalls => StoredCalls::read(frame)?.run.job,
            FrameKind::Forget => frame.decode::<Forget>()?.job,
            FrameKind::Cancel => frame.decode::<Cancel>()?.job,
            FrameKind::Processes => frame.decode::<SetProcesses>()?.job,
            FrameKind::Deadline => frame.decode::<Deadline>()?.job,
            FrameKind::Job => frame.decode::<JobSpec>()?.job,
            _ => return Ok(false),
        };
        let Some(waiting) = self.storage.arriving.get_mut(&job) else { return Ok(false) };
        if frame.kind == FrameKind::Deadline {
            self.storage.deadlines.insert(job, Due::of(&frame.decode()?));
        } else {
            waiting.push((owner, frame.clone()));
        }
        Ok(true)
    }

    /// Fetches the shared values of a job. Frames about the job wait meanwhile.
    pub(super) fn fetch_job(&mut self, owner: JobOwner, mut spec: JobSpec) {
        self.storage.arriving.entry(spec.job).or_default();
        let (results, stored) = (self.storage.results.clone(), std::mem::take(&mut spec.stored_shared));
        let store = PayloadStore::of(&spec);
        tokio::spawn(async move {
            let values = async {
                let store = store.as_ref().ok_or_else(no_storage)?;
                let mut values = Vec::new();
                for blob in &stored {
                    values.push(blob.get(store.storage()?).await?);
                }
                Ok(values)
            };
            // The receiver is gone when the pool is: then the result is not needed.
            let _ = results.send(StorageResult::Job(owner, Box::new(spec), values.await));
        });
    }

    /// Fetches the arguments of calls.
    pub(super) fn fetch_calls(&self, owner: JobOwner, stored: StoredCalls) {
        let store = self.jobs.get(&stored.run.job).and_then(PoolJob::payload_store);
        let results = self.storage.results.clone();
        tokio::spawn(async move {
            let calls = async {
                let store = store.as_ref().ok_or_else(no_storage)?;
                stored.load(store.storage()?).await
            };
            let _ = results.send(StorageResult::Calls(owner, stored.run, calls.await));
        });
    }

    /// Stores a report that is too large for a message. Returns whether it was.
    pub(super) fn stores_report(&mut self, run: Run, body: &Bytes) -> bool {
        let Some(job) = self.jobs.get(&run.job) else { return false };
        if job.spec.inline_limit.is_none_or(|limit| body.len() as u64 <= limit) {
            return false;
        }
        let (store, results, body) = (job.payload_store(), self.storage.results.clone(), body.clone());
        tokio::spawn(async move {
            let stored = async {
                let store = store.as_ref().ok_or_else(no_storage)?;
                Ok(StoredReport { run, blob: store.put(body).await? })
            };
            let stored = stored.await;
            let _ = results.send(StorageResult::Report(run, store, stored));
        });
        true
    }

    /// Takes in what has been fetched or stored.
    pub(super) fn storage_result(&mut self, result: StorageResult) -> Result<()> {
        match result {
            StorageResult::Job(owner, spec, values) => self.job_fetched(owner, *spec, values),
            StorageResult::Calls(owner, run, calls) => {
                // The job may be forgotten since.
                if !self.is_of(owner, run.job) {
                    return Ok(());
                }
                match calls {
                    Ok(calls) => self.give(owner, calls),
                    Err(error) => {
                        self.lose(run, &format!("its arguments cannot be read from the storage: {error}"));
                        Ok(())
                    }
                }
            }
            StorageResult::Report(run, store, Ok(stored)) => {
                if self.jobs.contains_key(&run.job) {
                    return stored.write(self.out_of(run.job));
                }
                // The client has forgotten the job and removed its folder already.
                tokio::spawn(async move {
                    // If this fails, `lithops clean` removes the report.
                    if let Some(store) = store {
                        let _ = store.clear(&stored.blob).await;
                    }
                });
                Ok(())
            }
            StorageResult::Report(run, _, Err(error)) => {
                self.lose(run, &format!("its outcome cannot be put into the storage: {error}"));
                Ok(())
            }
            StorageResult::Chunk(job, committed) => self.committed(job, committed),
        }
    }

    /// Begins a job whose shared values have come, and takes in the frames that have waited for it.
    fn job_fetched(
        &mut self,
        owner: JobOwner,
        mut spec: JobSpec,
        values: Result<Vec<lithops_core::bytes::Bytes>>,
    ) -> Result<()> {
        let waiting = self.storage.arriving.remove(&spec.job).unwrap_or_default();
        let deadline = self.storage.deadlines.remove(&spec.job);
        if !self.outgoing.hears(owner) {
            return Ok(());
        }
        let is_gone = values.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let unreadable = values
            .as_ref()
            .err()
            .map(|error| format!("the shared values of a job cannot be read from the storage: {error}"));
        if let (Some(why), JobOwner::Client) = (&unreadable, owner) {
            // This worker ends. If it reported each call as lost at once, it would be idle and be given every call,
            // while other workers may be able to read the values. Values that are not found are found by no worker.
            let retry = if is_gone { Retry::Never } else { Retry::Later };
            return Err(Error::new(ErrorKind::Io, why.clone()).with_retry(retry));
        }
        spec.shared = values.unwrap_or_default();
        let mut frame = Vec::new();
        Frame::write(FrameKind::Job, &spec, &mut frame)?;
        let body = Bytes::from(frame).slice(HEADER_LEN..);
        let id = spec.job;
        self.begin_job(owner, spec, body, unreadable);
        if let (Some(job), Some(deadline)) = (self.jobs.get_mut(&id), deadline) {
            job.due = Some(deadline);
        }
        waiting.iter().try_for_each(|(owner, frame)| match owner {
            JobOwner::Client => self.frame_of(JobOwner::Client, frame),
            JobOwner::Slot(slot) => self.nested_frame(*slot, frame),
        })
    }

    /// Reports calls as lost, through no fault of their own.
    pub(super) fn lose(&mut self, run: Run, why: &str) {
        lost_report(run, why).write(self.out_of(run.job));
    }
}
