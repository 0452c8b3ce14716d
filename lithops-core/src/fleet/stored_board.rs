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
    journal::{Journal, Stored, is_damage, may_succeed_later, seal, standing},
    storage::{PutMode, StorageClient},
};

/// When nothing has worked for so long, the storage is given up.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// The most bytes of a claim, a beat or a wish.
const LONGEST_WORD: u64 = 4 << 10;

/// The board of a job in its storage. Commits stand where those of every durable job stand, in the same form, so that
/// whoever attaches to the job need not know how it is run.
#[derive(Debug)]
pub struct StoredBoard {
    storage: StorageClient,
    journal: Journal,
    chunks: Chunks,
    failing_since: Mutex<Option<Instant>>,
}

impl StoredBoard {
    /// The board of a job with these chunks.
    #[must_use]
    pub fn new(storage: &StorageClient, journal: &Journal, chunks: Chunks) -> Self {
        Self { storage: storage.clone(), journal: journal.clone(), chunks, failing_since: Mutex::default() }
    }

    /// Does what a participant asks for.
    ///
    /// # Errors
    /// When it will never work, or nothing has worked for five minutes.
    pub async fn perform(&self, request: Request) -> Result<Answer> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let reads = matches!(request, Request::Get { .. });
        let done = match request {
            Request::Put { key, bytes, if_absent } => match keys::read_commit(&key) {
                Some(chunk) => self.commit(chunk, &bytes).await,
                None => {
                    let place = self.place(&key);
                    let bytes =
                        if is_outcome(&key) { seal(self.journal.name(&place), bytes).await } else { bytes };
                    let mode = if if_absent { PutMode::IfAbsent } else { PutMode::Overwrite };
                    storage.put(bucket, &place, bytes, mode).await.map(|()| Answer::Stored)
                }
            },
            Request::Get { key } => self.get(&key).await,
            Request::List { prefix } => self.list(&prefix).await,
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

    async fn get(&self, key: &str) -> Result<Answer> {
        let (storage, bucket, place) = (self.storage.storage(), self.storage.bucket(), self.place(key));
        if !is_outcome(key) {
            // Names and counts are short. What is not is none of them, and says no more than that it is there.
            return match storage.get_within(bucket, &place, LONGEST_WORD).await {
                Err(error) if error.kind() == ErrorKind::PayloadTooLarge => {
                    Ok(Answer::Found("damaged".into()))
                }
                read => read.map(Answer::Found),
            };
        }
        match self.journal.sealed(&place).await {
            Err(error) if is_damage(&error) => {
                tracing::warn!(%error, "damaged outcomes do not count: their calls are run again");
                // Nobody has seen them, and nobody puts others there.
                storage.delete(bucket, &place).await.map(|()| Answer::Absent)
            }
            opened => Ok(opened?.map_or(Answer::Absent, Answer::Found)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Answer> {
        let place = self.place(prefix);
        let cut = place.len() - prefix.len();
        let listed = self.storage.list_keys(self.storage.bucket(), &place).await?;
        let listed = listed.iter().map(|key| &key[cut..]);
        Ok(Answer::Listed(if prefix.starts_with(keys::COMMITS) {
            // Those that were found damaged do not count.
            let names = listed.filter_map(|key| key.strip_prefix(keys::COMMITS));
            standing(names).map(keys::commit).collect()
        } else {
            listed.map(str::to_owned).collect()
        }))
    }

    async fn commit(&self, chunk: u64, bytes: &Bytes) -> Result<Answer> {
        let (storage, bucket, calls) =
            (self.storage.storage(), self.storage.bucket(), self.chunks.calls_of(chunk));
        let bundle = outcomes(self.journal.job(), &Bundle::decode(bytes, calls.0, calls.1)?)?;
        let first = self.journal.first_commit(chunk, &bundle).await?;
        match storage.put(bucket, &self.place(&keys::commit(chunk)), first, PutMode::IfAbsent).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            put => return put.map(|()| Answer::Stored),
        }
        // Another was first, or what stands there is damaged.
        Ok(match self.journal.commit(chunk, calls, &bundle).await? {
            Stored::Ours => Answer::Stored,
            Stored::Theirs(_) => Answer::Exists,
        })
    }

    fn place(&self, key: &str) -> String {
        let shared = key == keys::CANCEL || key.starts_with(keys::COMMITS);
        let below = if shared { "" } else { "board/" };
        format!("{}{below}{key}", self.journal.folder())
    }
}

/// Whether it is the key of a report.
fn is_outcome(key: &str) -> bool {
    keys::read_outcome(key).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        board::{Content, Part},
        id::JobId,
        journal,
        protocol::failed_together,
        storage::ObjectStorage,
    };

    fn board() -> StoredBoard {
        let storage = StorageClient::new(Arc::new(ObjectStorage::memory()), "bucket");
        let journal = Journal::new(&storage, None, JobId::from_bytes([1; 16]));
        StoredBoard::new(&storage, &journal, Chunks::new(8, 4))
    }

    async fn change(board: &StoredBoard, key: &str) {
        let place = board.place(key);
        let mut bytes = board.storage.get_object("bucket", &place).await.expect("it is there").to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        board.storage.put_object("bucket", &place, bytes).await.expect("stored");
    }

    fn put(key: &str, bytes: Bytes) -> Request {
        Request::Put { key: key.to_owned(), bytes, if_absent: true }
    }

    async fn perform(board: &StoredBoard, request: Request) -> Answer {
        board.perform(request).await.expect("it answers")
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_commit_is_not_listed_and_makes_room_for_another() {
        let board = board();
        let reports = failed_together(board.journal.job(), vec![(4, 8)], b"x").collect();
        let report = journal::Bundle { logs: Vec::new(), reports }.encode().expect("encodes");
        let content = Content::Reported { first: 4, end: 8, report: report.into() };
        let parts = vec![Part { first: 4, end: 8, content }];
        let bytes = Bundle { author: "w".into(), epoch: 1, parts }.encode();
        let (commit, list) = (keys::commit(1), Request::List { prefix: keys::commits_of_page(0) });
        assert_eq!(perform(&board, put(&commit, bytes.clone())).await, Answer::Stored);
        assert_eq!(perform(&board, put(&commit, bytes.clone())).await, Answer::Exists);
        assert_eq!(perform(&board, list.clone()).await, Answer::Listed(vec![commit.clone()]));
        change(&board, &commit).await;
        assert!(board.journal.bundle(1, (4, 8)).await.expect("reads").is_none());
        assert_eq!(perform(&board, list.clone()).await, Answer::Listed(Vec::new()));
        assert_eq!(perform(&board, put(&commit, bytes.clone())).await, Answer::Stored);
        assert_eq!(perform(&board, list).await, Answer::Listed(vec![commit.clone()]));
        assert!(board.journal.bundle(1, (4, 8)).await.expect("reads").is_some());
        assert_eq!(perform(&board, put(&commit, bytes)).await, Answer::Exists);
    }

    #[tokio::test]
    async fn a_damaged_report_is_none_and_a_word_that_is_too_long_says_nothing() {
        let board = board();
        let key = keys::outcome(1, 1, 4, 6);
        assert_eq!(perform(&board, put(&key, "a report".into())).await, Answer::Stored);
        let get = || Request::Get { key: key.clone() };
        assert_eq!(perform(&board, get()).await, Answer::Found("a report".into()));
        change(&board, &key).await;
        assert_eq!(perform(&board, get()).await, Answer::Absent);
        let list = Request::List { prefix: keys::outcomes(1) };
        assert_eq!(
            perform(&board, list).await,
            Answer::Listed(Vec::new()),
            "it is not listed again and again"
        );
        let claim = keys::claim(1, 1);
        perform(&board, put(&claim, vec![b'w'; 1 << 20].into())).await;
        assert_eq!(perform(&board, Request::Get { key: claim }).await, Answer::Found("damaged".into()));
    }
}
