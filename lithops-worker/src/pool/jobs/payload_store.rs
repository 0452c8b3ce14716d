//! [`PayloadStore`]: the storage of a job, for payloads that no message can hold.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use lithops_core::{
    error::{Error, ErrorKind, Result},
    id::JobId,
    journal::Journal,
    protocol::JobSpec,
    storage::BlobRef,
    storage::StorageClient,
};

/// The storage of a job, for payloads that no message can hold. Clones share what was opened.
#[derive(Debug, Clone)]
pub(crate) struct PayloadStore {
    storage: Arc<Result<StorageClient>>,
    journal: Arc<Result<Journal>>,
    /// Whether the job's folder has the mark by which `lithops clean` finds it.
    is_marked: Arc<AtomicBool>,
    is_durable: bool,
}

impl PayloadStore {
    /// The store of a job; `None` when the job was sent without a storage.
    pub(crate) fn of(spec: &JobSpec) -> Option<Self> {
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

    /// The storage, or why it cannot be opened.
    pub(in crate::pool) fn storage(&self) -> Result<&StorageClient> {
        (*self.storage).as_ref().map_err(Error::again)
    }

    fn journal(&self) -> Result<&Journal> {
        (*self.journal).as_ref().map_err(Error::again)
    }

    /// Removes a payload that no process will fetch. The folder of a job that is not durable has nothing else in it,
    /// and is removed with it.
    pub(in crate::pool) async fn clear(&self, blob: &BlobRef) -> Result<()> {
        let journal = self.journal()?;
        if self.is_durable { journal.remove(blob.key()).await } else { journal.delete().await }
    }

    /// Stores a report under a new key.
    pub(crate) async fn put(&self, report: Bytes) -> Result<BlobRef> {
        let journal = self.journal()?;
        let marked = !self.is_marked.load(Ordering::Relaxed) && journal.mark().await?;
        let key = journal.blob(&JobId::generate().to_string());
        let put = BlobRef::put(self.storage()?, key, report.into()).await;
        if put.is_ok() {
            self.is_marked.store(true, Ordering::Relaxed);
        } else if marked && !self.is_durable {
            // The client may have removed everything already. If this fails, `lithops clean` removes the mark.
            let _ = journal.unmark().await;
        }
        put
    }
}

/// The error of a job with offloaded payloads that was sent without a storage.
pub(in crate::pool) fn no_storage() -> Error {
    Error::new(ErrorKind::Unexpected, "the job was sent without its storage")
}
