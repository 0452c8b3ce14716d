//! [`PayloadStore`]: payloads of a job that go through the storage, because they are too large for a message.

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

/// At most this many bytes of a message are headers around the spec and the arguments. Too small a value
/// would let messages exceed the platform's limit.
const HEADERS: u64 = 256;
/// At most this many payloads of one worker are fetched at once.
const AT_ONCE: usize = 8;

/// Uploads and fetches the payloads of a job that are too large for a message. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PayloadStore {
    /// The most bytes in one message; `room` is the part of it that the job's spec leaves for arguments.
    limit: u64,
    room: Arc<AtomicU64>,
    scheme: &'static str,
    /// `None` where workers cannot reach the storage.
    storage: Option<StorageClient>,
    journal: Journal,
    /// Set once the job's mark is stored. The mark says which job and client the blobs belong to, so that
    /// `lithops clean` can remove them.
    marked: Arc<OnceCell<()>>,
    /// Whether any payload was stored or fetched, so that there is something to remove.
    used: Arc<AtomicBool>,
    /// Whether workers were told to end by a mark. It is removed with all payloads once they have.
    has_stop: Arc<AtomicBool>,
    /// Uploads hold this lock for reading; the removal of all payloads waits for them by locking it for
    /// writing.
    begun: Arc<RwLock<()>>,
}

impl PayloadStore {
    /// The payload store of the job of `journal`, for messages of at most `limit` bytes on the backend
    /// `scheme`. `storage` is `None` where workers cannot reach the storage.
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
            has_stop: Arc::default(),
            begun: Arc::default(),
        }
    }

    /// The most bytes in one message.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether the arguments of these calls are too large for a message.
    pub(crate) fn take(&self, calls: &Calls) -> bool {
        calls.arguments.encoded_len() as u64 > self.room.load(Ordering::Relaxed)
    }

    /// Uploads the arguments of calls.
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

    /// Runs an upload as a task of its own. The upload goes on even if its caller is dropped, and `clear`
    /// waits for it: an upload that ended after the removal would leave a blob behind.
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

    /// The spec, whose shared values are replaced by blobs in the storage if they are too large for a
    /// message.
    pub(crate) async fn spec(&self, spec: Arc<JobSpec>) -> Result<Arc<JobSpec>> {
        let spec = self.small(spec).await?;
        let said = postcard::to_stdvec(&*spec).map_or(u64::MAX, |said| said.len() as u64);
        self.room.store(self.limit.saturating_sub(said.saturating_add(HEADERS)), Ordering::Relaxed);
        Ok(spec)
    }

    async fn small(&self, spec: Arc<JobSpec>) -> Result<Arc<JobSpec>> {
        let bytes = spec.shared.iter().map(|value| value.len()).sum::<usize>();
        // The message also has to hold arguments, so that shared values may take half of it.
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

    /// The same events, in which each stored report is replaced by the report fetched from the storage.
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
        // `buffered` keeps the order: the exit event must come last.
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

    /// Whether workers can reach the storage.
    pub(crate) fn is_shared(&self) -> bool {
        self.storage.is_some()
    }

    /// Puts the mark by which workers see that they are to end what they run of the job. `None` if that fails: they run
    /// on then until the platform ends them.
    pub(crate) fn put_stop(&self, is_durable: bool) -> impl Future<Output = Option<StopMark>> + use<> {
        // From now on the job's folder is removed with the mark.
        let is_last = !is_durable && !self.has_stop.swap(true, Ordering::AcqRel);
        let (journal, begun) = (self.journal.clone(), Arc::clone(&self.begun));
        async move {
            let marked = async {
                if is_last {
                    journal.mark().await?;
                }
                journal.put_stop().await
            };
            if let Err(error) = marked.await {
                tracing::warn!(job = %journal.job(), %error, "cannot tell workers to end: they run on until their timeout");
                return None;
            }
            Some(StopMark { journal, is_last, begun })
        }
    }

    /// Removes the payloads of a job that is not durable. `went_well` is `false` if the job did not finish,
    /// or had failed calls, lost workers or backup attempts: then a worker may have stored an outcome that
    /// was never fetched, so that the removal is made even if this client has stored and fetched nothing.
    pub(crate) async fn clear(&self, went_well: bool) {
        if went_well && !self.used.load(Ordering::Relaxed) || self.has_stop.load(Ordering::Acquire) {
            return;
        }
        let _all_is_over = self.begun.write().await;
        if let Err(error) = self.journal.delete().await {
            let job = self.journal.job();
            tracing::warn!(%job, %error, "cannot remove what was too large for a message: `lithops clean` does");
        }
    }

    /// The storage, and the key under which the next payload is put.
    async fn place(&self, what: &impl Fn() -> String) -> Result<(&StorageClient, String)> {
        let storage = self.storage.as_ref().ok_or_else(|| self.unreachable(&what()))?;
        self.used.store(true, Ordering::Relaxed);
        let marked = self.marked.get_or_try_init(|| async { self.journal.mark().await.map(drop) });
        marked.await.map_err(|error| cannot_store(&what(), error))?;
        // A random key: two clients of one job must not overwrite each other's payloads.
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

/// The mark by which workers see that they are to end what they run of a job.
#[derive(Debug)]
pub(crate) struct StopMark {
    journal: Journal,
    /// Whether nothing else is in the folder of the job that is needed any more.
    is_last: bool,
    begun: Arc<RwLock<()>>,
}

impl StopMark {
    /// Removes the mark, once no worker runs calls of the job any more.
    pub(crate) async fn remove(self) {
        let _all_is_over = self.begun.write().await;
        let removed =
            if self.is_last { self.journal.delete().await } else { self.journal.remove_stop().await };
        if let Err(error) = removed {
            let job = self.journal.job();
            tracing::warn!(%job, %error, "cannot remove what told workers to end: `lithops clean` does");
        }
    }
}

/// The error of an upload that failed after all retries of the storage client. Another try is left to the
/// caller.
fn cannot_store(what: &str, error: Error) -> Error {
    let kind = match error.kind() {
        kind @ (ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::PayloadTooLarge) => kind,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cannot store {what}: {}", error.message()))
        .with_hint(error.hint().unwrap_or("is the storage there?").to_owned())
        .with_source(error)
}

/// The shared values of a durable job, inline or as the blobs that were stored with the job: as blobs if the
/// values have more than `limit` bytes together. `None` means no limit.
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
