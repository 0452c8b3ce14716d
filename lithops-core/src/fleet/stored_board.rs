//! [`StoredBoard`]: the board of a job in its storage.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::outcomes;
use crate::{
    board::{Answer, Bundle, Chunks, Request, keys},
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    id::JobId,
    journal::{Journal, may_succeed_later},
    storage::{PutMode, StorageClient},
};

/// When operations of one kind have not worked for so long, the storage is given up.
pub(crate) const GIVEN_UP: Duration = Duration::from_secs(300);

/// What an operation does, and in which folder of the board: that others succeed says nothing of it. A storage that is
/// full can be read, and may have room for a beat and none for outcomes.
type Kind = (&'static str, String);

/// The board of a job in its storage. Commits stand where those of every durable job stand, in the same form, so that
/// whoever attaches to the job need not know how it is run.
#[derive(Debug)]
pub struct StoredBoard {
    storage: StorageClient,
    job: JobId,
    folder: String,
    chunks: Chunks,
    failing_since: Mutex<BTreeMap<Kind, Instant>>,
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
    /// When it will never work, or nothing of its kind has worked for five minutes.
    pub async fn perform(&self, request: Request) -> Result<Answer> {
        let kind = kind_of(&request);
        let answered = self.ask(request).await;
        let mut failing = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        match answered {
            Ok(answer) => {
                failing.remove(&kind);
                Ok(answer)
            }
            Err(error) if may_succeed_later(&error) => {
                let lasts = failing.entry(kind).or_insert_with(Instant::now).elapsed();
                if lasts < GIVEN_UP { Ok(Answer::Failed) } else { Err(given_up(error, lasts)) }
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        match request {
            Request::Put { key, bytes, if_absent } => {
                let bytes = self.stored_form(&key, bytes)?;
                let mode = if if_absent { PutMode::IfAbsent } else { PutMode::Overwrite };
                match storage.put(bucket, &self.place(&key), bytes, mode).await {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Answer::Exists),
                    put => put.map(|()| Answer::Stored),
                }
            }
            Request::Get { key } => match storage.get(bucket, &self.place(&key)).await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Answer::Absent),
                got => got.map(Answer::Found),
            },
            Request::List { prefix } => {
                let place = self.place(&prefix);
                let cut = place.len() - prefix.len();
                let listed = self.storage.list_keys(bucket, &place).await?;
                Ok(Answer::Listed(listed.iter().map(|key| key[cut..].to_owned()).collect()))
            }
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

fn kind_of(request: &Request) -> Kind {
    let (what, key) = match request {
        Request::Put { key, .. } => ("store", key),
        Request::Get { key } => ("read", key),
        Request::List { prefix } => ("list", prefix),
    };
    (what, key.split('/').next().unwrap_or_default().to_owned())
}

fn given_up(error: Error, lasts: Duration) -> Error {
    // The next worker would wait for as long, and with no more success.
    let hint = format!(
        "the storage has been asked for this for {} s in vain: is it full, or out of order?",
        lasts.as_secs()
    );
    error.with_retry(Retry::Never).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use async_trait::async_trait;
    use futures_util::{StreamExt, stream, stream::BoxStream};
    use tokio::time::advance;

    use super::*;
    use crate::storage::{ObjectMeta, ObjectStorage, Storage, StorageCapabilities, StorageInfo};

    /// What of a storage does not work.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Broken {
        /// It takes nothing.
        Writes,
        /// It takes beats, which are small, and nothing else.
        LargeWrites,
        Reads,
        Lists,
    }

    #[derive(Debug)]
    struct Sick {
        well: ObjectStorage,
        broken: Broken,
    }

    impl Sick {
        fn fail<T>(&self, broken: bool) -> Result<Option<T>> {
            if !broken {
                return Ok(None);
            }
            let full = std::io::Error::from_raw_os_error(28);
            Err(Error::new(ErrorKind::Io, format!("cannot do it, {full}")).with_retry(Retry::Later))
        }
    }

    #[async_trait]
    impl Storage for Sick {
        fn info(&self) -> StorageInfo {
            self.well.info()
        }
        fn capabilities(&self) -> StorageCapabilities {
            self.well.capabilities()
        }
        async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
            let is_small = key.contains("/beat/");
            self.fail::<()>(match self.broken {
                Broken::Writes => true,
                Broken::LargeWrites => !is_small,
                Broken::Reads | Broken::Lists => false,
            })?;
            self.well.put(bucket, key, bytes, mode).await
        }
        async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
            self.fail::<()>(self.broken == Broken::Reads)?;
            self.well.get(bucket, key).await
        }
        async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
            self.well.get_range(bucket, key, range).await
        }
        async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
            self.well.head(bucket, key).await
        }
        fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
            match self.fail::<()>(self.broken == Broken::Lists) {
                Ok(_) => self.well.list(bucket, prefix),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        }
        async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
            self.well.delete(bucket, key).await
        }
        async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
            self.well.delete_many(bucket, keys).await
        }
    }

    fn board(broken: Broken) -> StoredBoard {
        let storage = StorageClient::new(Arc::new(Sick { well: ObjectStorage::memory(), broken }), "bucket");
        StoredBoard::new(&storage, &Journal::new(&storage, None, JobId::generate()), Chunks::new(10, 1))
    }

    fn put(key: String) -> Request {
        Request::Put { key, bytes: Bytes::from("1"), if_absent: true }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_work_is_given_up_although_everything_else_works() {
        let all = |number: u64| {
            [
                Request::Put { key: keys::beat("w"), bytes: Bytes::from("1"), if_absent: false },
                put(keys::claim(number, 1)),
                Request::Get { key: keys::CANCEL.into() },
                Request::List { prefix: keys::claims_of_page(0) },
            ]
        };
        for broken in [Broken::Writes, Broken::LargeWrites, Broken::Reads, Broken::Lists] {
            let (board, begun) = (board(broken), Instant::now());
            let error = 'failed: loop {
                for request in all(begun.elapsed().as_secs()) {
                    if let Err(error) = board.perform(request).await {
                        break 'failed error;
                    }
                }
                advance(Duration::from_secs(1)).await;
            };
            assert_eq!(begun.elapsed(), GIVEN_UP, "{broken:?}");
            assert_eq!(error.retry(), Retry::Never, "{error}: another worker would do no better");
            assert!(
                error.to_string().contains("No space left") && error.to_string().contains("300 s"),
                "{error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_works_now_and_then_is_not_given_up() {
        let mut board = board(Broken::Reads);
        let get = || Request::Get { key: keys::CANCEL.into() };
        for _ in 0..10 {
            assert_eq!(board.perform(get()).await.unwrap(), Answer::Failed);
            advance(GIVEN_UP - Duration::from_secs(1)).await;
            let sick = std::mem::replace(
                &mut board.storage,
                StorageClient::new(Arc::new(ObjectStorage::memory()), "b"),
            );
            assert_eq!(board.perform(get()).await.unwrap(), Answer::Absent);
            board.storage = sick;
        }
    }
}
