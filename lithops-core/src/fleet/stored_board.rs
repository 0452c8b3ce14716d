//! [`StoredBoard`]: the board of a job in the object storage.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Fleet, outcomes};
use crate::{
    board::{BoardAnswer, Chunks, CommittedChunk, Content, Request, keys},
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    journal::{Journal, Stored, is_damage, seal, standing},
    storage::{PutMode, StorageClient, may_succeed_later},
};

/// How long the operations of one kind may fail without a success before the worker gives up the storage.
pub(crate) const GIVEN_UP: Duration = Duration::from_secs(300);

/// The kind of an operation: what it does, and the first segment of its key. Kinds are counted
/// apart, because a success of one kind says nothing about another: a storage that is full can
/// still be read, and may have room for a beat but none for outcomes.
type Kind = (&'static str, String);

/// The most bytes that are read of a claim, a beat or `cancel`.
const LONGEST_WORD: u64 = 4 << 10;

/// The board of a job in the object storage. Its commits are stored under the keys and in the form of every
/// durable job, so that a client that attaches to the job need not know how the job is run.
#[derive(Debug)]
pub struct StoredBoard {
    storage: StorageClient,
    journal: Journal,
    chunks: Chunks,
    /// The fleet that works at the job, whose client may have stored how workers have ended.
    fleet: Option<Fleet>,
    /// Since when the operations of a kind have failed without a success.
    failing_since: Mutex<BTreeMap<Kind, Instant>>,
}

impl StoredBoard {
    /// The board of a job with these chunks.
    #[must_use]
    pub fn new(storage: &StorageClient, journal: &Journal, chunks: Chunks) -> Self {
        let (storage, journal) = (storage.clone(), journal.clone());
        Self { storage, journal, chunks, fleet: None, failing_since: Mutex::default() }
    }

    /// The same board, for a worker of a fleet.
    #[must_use]
    pub fn of_fleet(self, fleet: Fleet) -> Self {
        Self { fleet: Some(fleet), ..self }
    }

    /// Performs a request of a participant.
    ///
    /// # Errors
    /// When the operation can never succeed, or no operation of its kind has succeeded for five minutes.
    pub async fn perform(&self, request: Request) -> Result<BoardAnswer> {
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
                if lasts < GIVEN_UP { Ok(BoardAnswer::Failed) } else { Err(given_up(error, lasts)) }
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, request: Request) -> Result<BoardAnswer> {
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
                    storage.put(bucket, &place, bytes, mode).await.map(|()| BoardAnswer::Stored)
                }
            },
            Request::Get { key } => self.get(&key).await,
            Request::List { prefix } => self.list(&prefix).await,
        };
        match done {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(BoardAnswer::Exists),
            Err(error) if error.kind() == ErrorKind::NotFound && reads => Ok(BoardAnswer::Absent),
            done => done,
        }
    }

    async fn get(&self, key: &str) -> Result<BoardAnswer> {
        let (storage, bucket, place) = (self.storage.storage(), self.storage.bucket(), self.place(key));
        if !is_outcome(key) {
            // Names and counts are short. A longer object is damaged, and tells only that its key exists.
            return match storage.get_within(bucket, &place, LONGEST_WORD).await {
                Err(error) if error.kind() == ErrorKind::PayloadTooLarge => {
                    Ok(BoardAnswer::Found("damaged".into()))
                }
                read => read.map(BoardAnswer::Found),
            };
        }
        match self.journal.sealed(&place).await {
            Err(error) if is_damage(&error) => {
                tracing::warn!(%error, "damaged outcomes do not count: their calls are run again");
                // No participant counts these outcomes as done, so that the key is free for new ones.
                storage.delete(bucket, &place).await.map(|()| BoardAnswer::Absent)
            }
            opened => Ok(opened?.map_or(BoardAnswer::Absent, BoardAnswer::Found)),
        }
    }

    /// Lists keys relative to the board. Commits are reduced to the chunks whose commit counts.
    async fn list(&self, prefix: &str) -> Result<BoardAnswer> {
        let place = self.place(prefix);
        let cut = place.len() - prefix.len();
        let listed = self.storage.list_keys(self.storage.bucket(), &place).await?;
        let listed = listed.iter().map(|key| &key[cut..]);
        Ok(BoardAnswer::Listed(if prefix.starts_with(keys::COMMITS) {
            // Commits that a reader has marked as damaged do not count.
            let names = listed.filter_map(|key| key.strip_prefix(keys::COMMITS));
            standing(names).map(keys::commit).collect()
        } else {
            listed.map(str::to_owned).collect()
        }))
    }

    /// Stores a commit in the form of the job's journal. The first put needs no listing, which is
    /// the common case.
    async fn commit(&self, chunk: u64, bytes: &Bytes) -> Result<BoardAnswer> {
        let (storage, bucket, calls) =
            (self.storage.storage(), self.storage.bucket(), self.chunks.calls_of(chunk));
        let committed = CommittedChunk::decode(bytes, calls.0, calls.1)?;
        let out_of_memory = self.out_of_memory(chunk, &committed).await?;
        let bundle = outcomes(self.journal.job(), &committed, &out_of_memory)?;
        let first = self.journal.first_commit(chunk, &bundle).await?;
        match storage.put(bucket, &self.place(&keys::commit(chunk)), first, PutMode::IfAbsent).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            put => return put.map(|()| BoardAnswer::Stored),
        }
        // Another participant committed first, or the stored commit is damaged.
        Ok(match self.journal.commit(chunk, calls, &bundle).await? {
            Stored::Ours => BoardAnswer::Stored,
            Stored::Theirs(_) => BoardAnswer::Exists,
        })
    }

    /// The epochs at whose end calls were lost, and whose workers the platform has ended because they took too much memory.
    async fn out_of_memory(&self, chunk: u64, committed: &CommittedChunk) -> Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        let Some(fleet) = &self.fleet else { return Ok(found) };
        let lost = committed.parts.iter().filter_map(|part| match part.content {
            Content::Lost { epoch } => Some(epoch),
            _ => None,
        });
        for epoch in lost.collect::<BTreeSet<_>>() {
            let BoardAnswer::Found(holder) = self.claimed_by(chunk, epoch).await? else { continue };
            if fleet.was_out_of_memory(&String::from_utf8_lossy(&holder)).await? {
                found.insert(epoch);
            }
        }
        Ok(found)
    }

    async fn claimed_by(&self, chunk: u64, epoch: u64) -> Result<BoardAnswer> {
        match self.get(&keys::claim(chunk, epoch)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BoardAnswer::Absent),
            read => read,
        }
    }

    /// The key in the storage. Commits and `cancel` are shared with every durable job; all else is
    /// below `board/`.
    fn place(&self, key: &str) -> String {
        let shared = key == keys::CANCEL || key.starts_with(keys::COMMITS);
        let below = if shared { "" } else { "board/" };
        format!("{}{below}{key}", self.journal.folder())
    }
}

/// Whether this is the key of a report.
fn is_outcome(key: &str) -> bool {
    keys::read_outcome(key).is_some()
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
    // A restarted worker would wait as long again, with no more success.
    let hint = format!(
        "the storage has been asked for this for {} s in vain: is it full, or out of order?",
        lasts.as_secs()
    );
    error.with_retry(Retry::Never).with_hint(hint)
}

#[cfg(test)]
mod damage_tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        board::OutcomeRange,
        error::{CallError, CallErrorKind},
        id::JobId,
        journal,
        protocol::{SignKey, failed_together},
        storage::MemoryStorage,
    };

    fn board() -> StoredBoard {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        let journal = Journal::new(&storage, JobId::from_bytes([1; 16]));
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

    async fn perform(board: &StoredBoard, request: Request) -> BoardAnswer {
        board.perform(request).await.expect("it answers")
    }

    #[tokio::test(start_paused = true)]
    async fn a_damaged_commit_is_not_listed_and_makes_room_for_another() {
        let board = board();
        let reports = failed_together(board.journal.job(), vec![(4, 8)], b"x").collect();
        let report = journal::ChunkOutcomes { logs: Vec::new(), reports }.encode().expect("encodes");
        let content = Content::Reported { first: 4, end: 8, report: report.into() };
        let parts = vec![OutcomeRange { first: 4, end: 8, content }];
        let bytes = CommittedChunk { author: "w".into(), epoch: 1, parts }.encode();
        let (commit, list) = (keys::commit(1), Request::List { prefix: keys::commits_of_page(0) });
        assert_eq!(perform(&board, put(&commit, bytes.clone())).await, BoardAnswer::Stored);
        assert_eq!(perform(&board, put(&commit, bytes.clone())).await, BoardAnswer::Exists);
        assert_eq!(perform(&board, list.clone()).await, BoardAnswer::Listed(vec![commit.clone()]));
        change(&board, &commit).await;
        assert!(board.journal.bundle(1, (4, 8)).await.expect("reads").is_none());
        assert_eq!(perform(&board, list.clone()).await, BoardAnswer::Listed(Vec::new()));
        assert_eq!(perform(&board, put(&commit, bytes.clone())).await, BoardAnswer::Stored);
        assert_eq!(perform(&board, list).await, BoardAnswer::Listed(vec![commit.clone()]));
        assert!(board.journal.bundle(1, (4, 8)).await.expect("reads").is_some());
        assert_eq!(perform(&board, put(&commit, bytes)).await, BoardAnswer::Exists);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_whose_last_worker_took_too_much_memory_by_the_platforms_word_are_out_of_memory() {
        let board = board();
        let key = SignKey::generate().expect("a key").verify_key();
        let fleet = Fleet::new(&board.storage, "fleet", key);
        let board = board.of_fleet(fleet.clone());
        for (epoch, worker) in [(3, "one"), (4, "two.7"), (5, "three")] {
            perform(&board, put(&keys::claim(1, epoch), worker.into())).await;
        }
        // Of a worker that was at several jobs, the platform knows the first part of the name.
        fleet.put_out_of_memory("two").await.expect("stored");
        fleet.put_ended("three", "it could not serve").await.expect("stored");
        let lost =
            |call, epoch| OutcomeRange { first: call, end: call + 1, content: Content::Lost { epoch } };
        let parts = vec![lost(4, 3), lost(5, 4), lost(6, 5), lost(7, 9)];
        let bytes = CommittedChunk { author: "w".into(), epoch: 6, parts }.encode();
        assert_eq!(perform(&board, put(&keys::commit(1), bytes)).await, BoardAnswer::Stored);
        let bundle = board.journal.bundle(1, (4, 8)).await.expect("reads").expect("it is whole");
        let kinds = bundle.reports.iter().map(|report| {
            rmp_serde::from_slice::<CallError>(report.value(0)).expect("an error").kind().clone()
        });
        use CallErrorKind::{OutOfMemory, WorkerLost};
        assert_eq!(kinds.collect::<Vec<_>>(), [WorkerLost, OutOfMemory, WorkerLost, WorkerLost]);
    }

    #[tokio::test]
    async fn a_damaged_report_is_none_and_a_word_that_is_too_long_says_nothing() {
        let board = board();
        let key = keys::outcome(1, 1, 4, 6);
        assert_eq!(perform(&board, put(&key, "a report".into())).await, BoardAnswer::Stored);
        let get = || Request::Get { key: key.clone() };
        assert_eq!(perform(&board, get()).await, BoardAnswer::Found("a report".into()));
        change(&board, &key).await;
        assert_eq!(perform(&board, get()).await, BoardAnswer::Absent);
        let list = Request::List { prefix: keys::outcomes(1) };
        assert_eq!(
            perform(&board, list).await,
            BoardAnswer::Listed(Vec::new()),
            "it is not listed again and again"
        );
        let claim = keys::claim(1, 1);
        perform(&board, put(&claim, vec![b'w'; 1 << 20].into())).await;
        assert_eq!(perform(&board, Request::Get { key: claim }).await, BoardAnswer::Found("damaged".into()));
    }
}

#[cfg(test)]
mod failure_tests {
    use std::{ops::Range, sync::Arc};

    use async_trait::async_trait;
    use futures_util::{StreamExt, stream, stream::BoxStream};
    use tokio::time::advance;

    use super::*;
    use crate::{
        id::JobId,
        storage::{MemoryStorage, ObjectMeta, Storage, StorageCapabilities, StorageInfo},
    };

    /// Which operations of the storage fail.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Broken {
        /// Every put.
        Writes,
        /// Every put but those of beats, which are small.
        LargeWrites,
        Reads,
        Lists,
    }

    #[derive(Debug)]
    struct Sick {
        well: MemoryStorage,
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
            self.fail::<()>(self.broken == Broken::Reads)?;
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
        let storage = StorageClient::new(Arc::new(Sick { well: MemoryStorage::default(), broken }), "bucket");
        StoredBoard::new(&storage, &Journal::new(&storage, JobId::generate()), Chunks::new(10, 1))
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
            assert_eq!(board.perform(get()).await.unwrap(), BoardAnswer::Failed);
            advance(GIVEN_UP - Duration::from_secs(1)).await;
            let sick = std::mem::replace(
                &mut board.storage,
                StorageClient::new(Arc::new(MemoryStorage::default()), "b"),
            );
            assert_eq!(board.perform(get()).await.unwrap(), BoardAnswer::Absent);
            board.storage = sick;
        }
    }
}
