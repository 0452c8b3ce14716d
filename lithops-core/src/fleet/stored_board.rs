//! [`StoredBoard`]: the board of a job in its storage.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::outcomes;
use crate::{
    board::{Answer, Bundle, Chunks, Request, keys},
    bytes::Bytes,
    error::{ErrorKind, Result},
    id::JobId,
    journal::{Journal, may_succeed_later},
    storage::{PutMode, StorageClient},
};

/// When nothing has worked for so long, the storage is given up.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// The board of a job in its storage. Commits stand where those of every durable job stand, in the same form, so that
/// whoever attaches to the job need not know how it is run.
#[derive(Debug)]
pub struct StoredBoard {
    storage: StorageClient,
    job: JobId,
    folder: String,
    chunks: Chunks,
    failing_since: Mutex<Option<Instant>>,
}

impl StoredBoard {
    /// The board of a job with these chunks.
    #[must_use]
    pub fn new(storage: &StorageClient, journal: &Journal, chunks: Chunks) -> Self {
        Self {
            storage: storage.clone(),
            job: journal.job(),
            folder: journal.folder().to_owned(),
            chunks,
            failing_since: Mutex::default(),
        }
    }

    /// Does what a participant asks for.
    ///
    /// # Errors
    /// When it will never work, or nothing has worked for five minutes.
    pub async fn perform(&self, request: Request) -> Result<Answer> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let reads = matches!(request, Request::Get { .. });
        let done = match request {
            Request::Put { key, bytes, if_absent } => {
                let bytes = self.stored_form(&key, bytes)?;
                let mode = if if_absent { PutMode::IfAbsent } else { PutMode::Overwrite };
                storage.put(bucket, &self.place(&key), bytes, mode).await.map(|()| Answer::Stored)
            }
            Request::Get { key } => storage.get(bucket, &self.place(&key)).await.map(Answer::Found),
            Request::List { prefix } => {
                let place = self.place(&prefix);
                let cut = place.len() - prefix.len();
                let listed = self.storage.list_keys(bucket, &place).await;
                listed.map(|keys| Answer::Listed(keys.iter().map(|key| key[cut..].to_owned()).collect()))
            }
        };
        let answered = match done {
            Ok(answer) => Ok(answer),
            Err(error) => match error.kind() {
                ErrorKind::AlreadyExists => Ok(Answer::Exists),
                ErrorKind::NotFound if reads => Ok(Answer::Absent),
                _ => Err(error),
            },
        };
        let mut failing = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        match answered {
            Ok(answer) => {
                *failing = None;
                Ok(answer)
            }
            Err(error) if may_succeed_later(&error) => {
                let since = *failing.get_or_insert_with(Instant::now);
                if since.elapsed() < GIVEN_UP { Ok(Answer::Failed) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    fn place(&self, key: &str) -> String {
        let shared = key == keys::CANCEL || key.starts_with(keys::COMMITS);
        let below = if shared { "" } else { "board/" };
        format!("{}{below}{key}", self.folder)
    }

    fn stored_form(&self, key: &str, bytes: Bytes) -> Result<Bytes> {
        let Some(chunk) = keys::read_commit(key) else { return Ok(bytes) };
        let (first, end) = self.chunks.calls_of(chunk);
        Ok(outcomes(self.job, &Bundle::decode(&bytes, first, end)?)?.encode()?.into())
    }
}
