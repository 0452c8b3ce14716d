//! [`PayloadStore`]: what a job's client sends and fetches through the storage, because a message cannot hold it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use futures_util::{StreamExt, stream::BoxStream};
use tokio::sync::{OnceCell, RwLock};

use crate::{
    bytes::Bytes,
    compute::{Event, EventKind},
    error::{Error, ErrorKind, Result},
    id::JobId,
    journal::Journal,
    protocol::{Calls, JobSpec, StoredCalls, StoredReport, lost_report},
    storage::{BlobRef, StorageClient},
};

/// What stands around spec and arguments in a message, at most.
const HEADERS: u64 = 256;
/// So many parcels of one worker are fetched at once.
const AT_ONCE: usize = 8;

/// What a job's client sends and fetches through the storage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PayloadStore {
    /// The most bytes in one message, and what is left of that beside what is said of the job.
    limit: u64,
    room: Arc<AtomicU64>,
    scheme: &'static str,
    /// `None` where workers cannot reach the storage.
    storage: Option<StorageClient>,
    journal: Journal,
    /// Whether anything was stored, so that it is known whose that is.
    marked: Arc<OnceCell<()>>,
    used: Arc<AtomicBool>,
    /// Held by what is being stored.
    begun: Arc<RwLock<()>>,
}

impl PayloadStore {
    /// The payloads of the job that a journal is of, with messages of at most `limit` bytes on the backend `scheme`;
    /// `storage` is `None` where workers cannot reach it.
    pub(crate) fn new(
        limit: u64,
        scheme: &'static str,
        storage: Option<StorageClient>,
        journal: Journal,
    ) -> Self {
        Self {
            limit,
            room: Arc::new(AtomicU64::new(limit)),
            scheme,
            storage,
            journal,
            marked: Arc::default(),
            used: Arc::default(),
            begun: Arc::default(),
        }
    }

    /// The most bytes in one message.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether these calls are too large for a message.
    pub(crate) fn take(&self, calls: &Calls) -> bool {
        calls.arguments.encoded_len() as u64 > self.room.load(Ordering::Relaxed)
    }

    /// Stores the arguments of calls.
    pub(crate) async fn put_calls(&self, calls: &Calls) -> Result<StoredCalls> {
        let (first, last) = (calls.run.first, calls.run.end() - 1);
        let bytes = calls.arguments.bytes();
        let what = move || format!("the arguments of calls {first} to {last} ({bytes} bytes)");
        let (this, calls) = (self.clone(), calls.clone());
        let storing = async move {
            let (storage, key) = this.place(&what).await?;
            StoredCalls::put(storage, key, &calls).await.map_err(|error| cannot_store(&what(), error))
        };
        self.store(storing).await
    }

    /// Stores something. What is begun goes on also when nobody waits for it any more, and is over before all is
    /// removed: otherwise it would come afterwards, and stay.
    async fn store<T: Send + 'static>(
        &self,
        storing: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let begun = Arc::clone(&self.begun).read_owned().await;
        let stored = tokio::spawn(async move {
            let stored = storing.await;
            drop(begun);
            stored
        });
        stored.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Unexpected, error.to_string())))
    }

    /// The spec with its shared values in the storage, if they are too large for a message.
    pub(crate) async fn spec(&self, spec: Arc<JobSpec>) -> Result<Arc<JobSpec>> {
        let spec = self.small(spec).await?;
        let said = postcard::to_stdvec(&*spec).map_or(u64::MAX, |said| said.len() as u64);
        self.room.store(self.limit.saturating_sub(said.saturating_add(HEADERS)), Ordering::Relaxed);
        Ok(spec)
    }

    async fn small(&self, spec: Arc<JobSpec>) -> Result<Arc<JobSpec>> {
        let bytes = spec.shared.iter().map(|value| value.len()).sum::<usize>();
        // They share their message with arguments.
        if bytes as u64 <= self.limit / 2 {
            return Ok(spec);
        }
        let what = move || format!("the shared values ({bytes} bytes)");
        let mut stored_shared = Vec::new();
        for value in spec.shared.iter().cloned() {
            let this = self.clone();
            let storing = async move {
                let (storage, key) = this.place(&what).await?;
                BlobRef::put(storage, key, value).await.map_err(|error| cannot_store(&what(), error))
            };
            stored_shared.push(self.store(storing).await?);
        }
        Ok(Arc::new(JobSpec { shared: Vec::new(), stored_shared, ..(*spec).clone() }))
    }

    /// The same events, with reports that are in the storage fetched.
    pub(crate) fn open(
        &self,
        events: BoxStream<'static, Result<Event>>,
    ) -> BoxStream<'static, Result<Event>> {
        let payload_store = self.clone();
        let opened = events.map(move |event| {
            let payload_store = payload_store.clone();
            async move {
                match event {
                    Ok(Event { activation, kind: EventKind::StoredReport(stored) }) => {
                        Ok(Event { activation, kind: payload_store.fetch(&stored).await })
                    }
                    event => event,
                }
            }
        });
        // In order: what a worker says last is that it has ended.
        opened.buffered(AT_ONCE).boxed()
    }

    async fn fetch(&self, stored: &StoredReport) -> EventKind {
        self.used.store(true, Ordering::Relaxed);
        let report = match &self.storage {
            Some(storage) => stored.load(storage).await,
            None => Err(self.unreachable(&"an outcome")),
        };
        let report = report.unwrap_or_else(|error| {
            lost_report(stored.run, &format!("its outcome cannot be read from the storage: {error}"))
        });
        EventKind::Report(Box::new(report))
    }

    /// Removes what there is of a job that leaves nothing else behind; if not all went well with it, a worker may have
    /// stored what nobody has fetched.
    pub(crate) async fn clear(&self, went_well: bool) {
        if went_well && !self.used.load(Ordering::Relaxed) {
            return;
        }
        let _all_is_over = self.begun.write().await;
        if let Err(error) = self.journal.delete().await {
            let job = self.journal.job();
            tracing::warn!(%job, %error, "cannot remove what was too large for a message: `lithops clean` does");
        }
    }

    /// Where the next parcel is put.
    async fn place(&self, what: &impl Fn() -> String) -> Result<(&StorageClient, String)> {
        let storage = self.storage.as_ref().ok_or_else(|| self.unreachable(&what()))?;
        self.used.store(true, Ordering::Relaxed);
        let marked = self.marked.get_or_try_init(|| async { self.journal.mark().await.map(drop) });
        marked.await.map_err(|error| cannot_store(&what(), error))?;
        // No two clients of a job have the same.
        Ok((storage, self.journal.blob(&JobId::generate().to_string())))
    }

    fn unreachable(&self, what: &(impl std::fmt::Display + ?Sized)) -> Error {
        let (limit, scheme) = (self.limit, self.scheme);
        Error::new(
            ErrorKind::PayloadTooLarge,
            format!("{what} cannot ride in a message of `{scheme}`, which takes {limit} bytes, and workers cannot reach the storage"),
        )
        .with_hint("use a storage that workers can reach")
    }
}

/// It was tried for long enough: trying again is the caller's business.
fn cannot_store(what: &str, error: Error) -> Error {
    let kind = match error.kind() {
        kind @ (ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::PayloadTooLarge) => kind,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cannot store {what}: {}", error.message()))
        .with_hint(error.hint().unwrap_or("is the storage there?").to_owned())
        .with_source(error)
}

/// Shared values that are stored as they were when their job was.
pub(crate) fn shared_parts(
    limit: Option<u64>,
    values: Vec<Bytes>,
    stored: &[BlobRef],
) -> (Vec<Bytes>, Vec<BlobRef>) {
    let bytes = values.iter().map(|value| value.len() as u64).sum::<u64>();
    if limit.is_some_and(|limit| bytes > limit) {
        (Vec::new(), stored.to_vec())
    } else {
        (values, Vec::new())
    }
}
