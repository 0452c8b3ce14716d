//! What comes to the pool, and leaves it, through the storage because a message cannot hold it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    id::JobId,
    journal::Journal,
    protocol::{
        Calls, Cancel, Deadline, Forget, Frame, FrameKind, HEADER_LEN, JobSpec, Run, SetProcesses,
        StoredCalls, StoredReport, lost_report,
    },
    storage::{BlobRef, StorageClient},
};
use tokio::sync::mpsc;

use super::{Pool, deadline::Due, job::Job, nesting::Owner, state::write_report};

/// What the pool fetches from the storage, and what it stores there.
#[derive(Debug)]
pub(super) struct PayloadStore {
    done: mpsc::UnboundedSender<Done>,
    /// What has been fetched or stored.
    pub(super) happened: mpsc::UnboundedReceiver<Done>,
    /// Jobs whose shared values are being fetched, and the frames that wait for them.
    arriving: HashMap<JobId, Vec<(Owner, Frame)>>,
    /// When calls of such jobs may begin no more: that is counted from when it was said.
    deadlines: HashMap<JobId, Due>,
}

/// What has been fetched or stored.
#[derive(Debug)]
pub(super) enum Done {
    /// A job, with its shared values.
    Job(Owner, Box<JobSpec>, Result<Vec<lithops_core::bytes::Bytes>>),
    /// Calls, with their arguments.
    Calls(Owner, Run, Result<Calls>),
    /// A report.
    Report(Run, Option<Depot>, Result<StoredReport>),
}

/// Where a job keeps what a message cannot hold.
#[derive(Debug, Clone)]
pub(super) struct Depot {
    storage: Arc<Result<StorageClient>>,
    journal: Arc<Result<Journal>>,
    is_marked: Arc<AtomicBool>,
    is_durable: bool,
}

impl PayloadStore {
    pub(super) fn new() -> Self {
        let (done, happened) = mpsc::unbounded_channel();
        Self { done, happened, arriving: HashMap::new(), deadlines: HashMap::new() }
    }
}

impl Depot {
    /// That of a job, which is opened once.
    pub(super) fn of(spec: &JobSpec) -> Option<Self> {
        let locator = spec.storage.as_ref()?;
        let storage = StorageClient::connect(locator);
        let journal = match &storage {
            Ok(storage) => Ok(Journal::new(storage, spec.job)),
            Err(error) => Err(error.again()),
        };
        Some(Self {
            storage: Arc::new(storage),
            journal: Arc::new(journal),
            is_marked: Arc::default(),
            is_durable: spec.durable.is_some(),
        })
    }

    fn storage(&self) -> Result<&StorageClient> {
        (*self.storage).as_ref().map_err(Error::again)
    }

    fn journal(&self) -> Result<&Journal> {
        (*self.journal).as_ref().map_err(Error::again)
    }

    /// Removes a parcel that nobody will fetch; of a job that leaves nothing else behind, all there is.
    async fn clear(&self, blob: &BlobRef) -> Result<()> {
        let journal = self.journal()?;
        if self.is_durable { journal.remove(blob.key()).await } else { journal.delete().await }
    }

    async fn put(&self, report: Bytes) -> Result<BlobRef> {
        let journal = self.journal()?;
        let marked = !self.is_marked.load(Ordering::Relaxed) && journal.mark().await?;
        let key = journal.blob(&JobId::generate().to_string());
        let put = BlobRef::put(self.storage()?, key, report.into()).await;
        if put.is_ok() {
            self.is_marked.store(true, Ordering::Relaxed);
        } else if marked && !self.is_durable {
            // The client may have removed everything already. Should that fail, `lithops clean` does it.
            let _ = journal.unmark().await;
        }
        put
    }
}

impl Pool {
    /// Keeps a frame of a job that is not there yet. Returns whether it was one.
    pub(super) fn waits_for_job(&mut self, owner: Owner, frame: &Frame) -> Result<bool> {
        if self.payload_store.arriving.is_empty() {
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
        let Some(waiting) = self.payload_store.arriving.get_mut(&job) else { return Ok(false) };
        if frame.kind == FrameKind::Deadline {
            self.payload_store.deadlines.insert(job, Due::of(&frame.decode()?));
        } else {
            waiting.push((owner, frame.clone()));
        }
        Ok(true)
    }

    /// Fetches the shared values of a job; what is sent of it meanwhile waits.
    pub(super) fn fetch_job(&mut self, owner: Owner, mut spec: JobSpec) {
        self.payload_store.arriving.entry(spec.job).or_default();
        let (done, stored) = (self.payload_store.done.clone(), std::mem::take(&mut spec.stored_shared));
        let depot = Depot::of(&spec);
        tokio::spawn(async move {
            let values = async {
                let depot = depot.as_ref().ok_or_else(no_storage)?;
                let mut values = Vec::new();
                for blob in &stored {
                    values.push(blob.get(depot.storage()?).await?);
                }
                Ok(values)
            };
            // The pool is gone when the client is.
            let _ = done.send(Done::Job(owner, Box::new(spec), values.await));
        });
    }

    /// Fetches the arguments of calls.
    pub(super) fn fetch_calls(&self, owner: Owner, stored: StoredCalls) {
        let depot = self.jobs.get(&stored.run.job).and_then(Job::depot);
        let done = self.payload_store.done.clone();
        tokio::spawn(async move {
            let calls = async {
                let depot = depot.as_ref().ok_or_else(no_storage)?;
                stored.load(depot.storage()?).await
            };
            let _ = done.send(Done::Calls(owner, stored.run, calls.await));
        });
    }

    /// Stores a report that is too large for a message. Returns whether it was.
    pub(super) fn stores_report(&mut self, run: Run, body: &Bytes) -> bool {
        let Some(job) = self.jobs.get(&run.job) else { return false };
        if job.spec.inline_limit.is_none_or(|limit| body.len() as u64 <= limit) {
            return false;
        }
        let (depot, done, body) = (job.depot(), self.payload_store.done.clone(), body.clone());
        tokio::spawn(async move {
            let stored = async {
                let depot = depot.as_ref().ok_or_else(no_storage)?;
                Ok(StoredReport { run, blob: depot.put(body).await? })
            };
            let stored = stored.await;
            let _ = done.send(Done::Report(run, depot, stored));
        });
        true
    }

    /// Takes in what has been fetched or stored.
    pub(super) fn blob(&mut self, done: Done) -> Result<()> {
        match done {
            Done::Job(owner, spec, values) => {
                let mut spec = *spec;
                let waiting = self.payload_store.arriving.remove(&spec.job).unwrap_or_default();
                let deadline = self.payload_store.deadlines.remove(&spec.job);
                if !self.nested.hears(owner) {
                    return Ok(());
                }
                let is_gone = values.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
                let unreadable = values.as_ref().err().map(|error| {
                    format!("the shared values of a job cannot be read from the storage: {error}")
                });
                if let (Some(why), Owner::Client) = (&unreadable, owner) {
                    // A worker that answers at once with a loss would be given every call, where others may be well.
                    // What somebody has removed is there for no other worker either.
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
                    Owner::Client => self.frame_of(Owner::Client, frame),
                    Owner::Slot(slot) => self.nested_frame(*slot, frame),
                })
            }
            Done::Calls(owner, run, calls) => {
                // The job may be over.
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
            Done::Report(run, depot, Ok(stored)) => {
                if self.jobs.contains_key(&run.job) {
                    return stored.write(self.out_of(run.job));
                }
                // The client has cleared up already.
                tokio::spawn(async move {
                    // Should that fail, `lithops clean` does it.
                    if let Some(depot) = depot {
                        let _ = depot.clear(&stored.blob).await;
                    }
                });
                Ok(())
            }
            Done::Report(run, _, Err(error)) => {
                self.lose(run, &format!("its outcome cannot be put into the storage: {error}"));
                Ok(())
            }
        }
    }

    /// Says that calls are lost, through no fault of their own.
    pub(super) fn lose(&mut self, run: Run, why: &str) {
        write_report(&lost_report(run, why), self.out_of(run.job));
    }
}

fn no_storage() -> Error {
    Error::new(ErrorKind::Unexpected, "the job was sent without its storage")
}
