//! Commits: how the outcomes of chunks are stored and read.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{
    ChunkOutcomes, Journal,
    contents::is_damage,
    sealed::{self, damaged},
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    storage::insist,
};

/// How often a commit that cannot be decoded is read, because it may have been damaged only in transit.
const READS: u32 = 3;
/// The pause between two of these reads.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a chunk is run again because its outcomes were damaged.
const GENERATIONS: u32 = 100;
/// Objects up to this size are read with one request. Of larger ones the header is checked first.
const IN_ONE_GO: u64 = 64 << 20;

/// The result of a commit.
#[derive(Debug)]
pub enum Stored {
    /// This commit was first: its outcomes are those of the chunk.
    Ours,
    /// Another process committed first: these are its outcomes.
    Theirs(ChunkOutcomes),
}

impl Journal {
    /// Commits the outcomes of a chunk, `first..end`. The first commit of a chunk stands.
    ///
    /// # Errors
    /// When the storage refuses the commit.
    pub async fn commit(&self, chunk: u64, calls: (u64, u64), bundle: &ChunkOutcomes) -> Result<Stored> {
        let (first, end) = calls;
        if !bundle.is_of(first, end) {
            let problem =
                format!("the outcomes of chunk {chunk} are not one for each of calls {first} to {end}");
            return Err(Error::new(ErrorKind::Unexpected, problem));
        }
        let body = Bytes::from(bundle.encode()?);
        let mut generation = 0;
        while generation < GENERATIONS {
            let key = self.keys.commit(chunk, generation);
            let bytes = sealed::seal(self.name(&key), body.clone()).await;
            if self.put_if_absent(&key, &bytes).await? {
                return Ok(Stored::Ours);
            }
            if let Some(bundle) = self.bundle(chunk, calls).await? {
                return Ok(Stored::Theirs(bundle));
            }
            // The stored outcomes are damaged, and marked as such.
            generation = self.generation(chunk).await?;
        }
        let problem =
            format!("the outcomes of chunk {chunk} of job {} were damaged {generation} times", self.job);
        Err(Error::new(ErrorKind::Damaged, problem).with_hint("what writes to the storage beside lithops?"))
    }

    /// The bytes of the first commit of a chunk, for a caller that stores them itself.
    ///
    /// # Errors
    /// When the outcomes cannot be encoded.
    pub(crate) async fn first_commit(&self, chunk: u64, bundle: &ChunkOutcomes) -> Result<Bytes> {
        let key = self.keys.commit(chunk, 0);
        Ok(sealed::seal(self.name(&key), bundle.encode()?.into()).await)
    }

    /// The committed chunks, in ascending order.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn committed(&self) -> Result<Vec<u64>> {
        let prefix = self.keys.commits();
        let listed = self.listed(&prefix).await?;
        Ok(standing(listed.iter().map(|key| &key[prefix.len()..])).collect())
    }

    /// Reads the committed outcomes of a chunk, `first..end`; `None` when there are none. Damaged
    /// outcomes also give `None`: they are marked as damaged, and the chunk is open again.
    ///
    /// # Errors
    /// When the storage cannot be read, or refuses the mark.
    pub async fn bundle(&self, chunk: u64, calls: (u64, u64)) -> Result<Option<ChunkOutcomes>> {
        let mut generation = 0;
        let mut reads = 0;
        loop {
            let key = self.keys.commit(chunk, generation);
            let error = match self.bundle_at(&key, calls).await {
                Err(error) if is_damage(&error) => error,
                read => return read,
            };
            // Another reader may have marked this generation as damaged before.
            let now = self.generation(chunk).await?;
            if now > generation {
                (generation, reads) = (now, 0);
                continue;
            }
            reads += 1;
            if reads < READS {
                sleep(PAUSE).await;
                continue;
            }
            tracing::warn!(job = %self.job, chunk, %error, "damaged outcomes do not count: the chunk is run again");
            let note = error.to_string().into_bytes();
            self.put(&self.keys.damage(chunk, generation), note.into()).await.map_err(|_| error)?;
            return Ok(None);
        }
    }

    /// How many generations of the chunk's outcomes are marked as damaged: the generation of this
    /// number counts.
    async fn generation(&self, chunk: u64) -> Result<u32> {
        let listed = self.listed(&self.keys.commit(chunk, 0)).await?;
        let marks = listed.iter().filter_map(|key| entry(key.rsplit('/').next()?));
        let marks = marks.filter(|entry| entry.chunk == chunk && entry.damaged);
        Ok(marks.map(|mark| mark.generation + 1).max().unwrap_or(0))
    }

    /// Reads the outcomes of a key, which must be those of the calls `first..end` of this job.
    async fn bundle_at(&self, key: &str, (first, end): (u64, u64)) -> Result<Option<ChunkOutcomes>> {
        let Some(body) = self.sealed(key).await?.map(Bytes::into_inner) else { return Ok(None) };
        let bundle =
            ChunkOutcomes::decode(&body, first, end).map_err(|error| damaged(key, error.message()))?;
        if bundle.reports.iter().any(|report| report.header.run.job != self.job) {
            return Err(damaged(key, "it holds outcomes of another job"));
        }
        Ok(Some(bundle))
    }

    /// Reads and unwraps the sealed object of a key; `None` if it is missing.
    pub(crate) async fn sealed(&self, key: &str) -> Result<Option<Bytes>> {
        let Some(sealed) = self.sealed_at(key).await? else { return Ok(None) };
        sealed::open(self.name(key), &sealed, key).await.map(Some)
    }

    /// Reads a sealed object of any length. Of a long one the header and the size are checked
    /// before the rest is read.
    async fn sealed_at(&self, key: &str) -> Result<Option<Bytes>> {
        let (storage, bucket) = (&self.storage, self.bucket.as_str());
        let absent = |error: Error| if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
        match insist(|| storage.get_within(bucket, key, IN_ONE_GO)).await {
            Err(error) if error.kind() == ErrorKind::PayloadTooLarge => {}
            read => return read.map(Some).or_else(absent),
        }
        let size = match insist(|| storage.head(bucket, key)).await {
            Ok(meta) => meta.size,
            Err(error) => return absent(error),
        };
        let start = 0..(sealed::HEADER as u64).min(size);
        let start = match insist(|| storage.get_range(bucket, key, start.clone())).await {
            Ok(start) => start,
            Err(error) => return absent(error),
        };
        let (len, _) = sealed::header(&start, key)?;
        if len.checked_add(sealed::HEADER as u64) != Some(size) {
            return Err(damaged(key, format_args!("it has {size} bytes, and says that {len} belong to it")));
        }
        insist(|| storage.get_within(bucket, key, size)).await.map(Some).or_else(absent)
    }
}

/// The committed chunks, in ascending order, from the names below `commit/`.
pub(crate) fn standing<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = u64> {
    #[derive(Default)]
    struct Found {
        generations: Vec<u32>,
        damaged: u32,
    }
    let mut chunks: BTreeMap<u64, Found> = BTreeMap::new();
    for entry in names.filter_map(entry) {
        let found = chunks.entry(entry.chunk).or_default();
        match entry.damaged {
            true => found.damaged = found.damaged.max(entry.generation + 1),
            false => found.generations.push(entry.generation),
        }
    }
    let stands = |(chunk, found): (u64, Found)| found.generations.contains(&found.damaged).then_some(chunk);
    chunks.into_iter().filter_map(stands)
}

/// The parts of a name below `commit/`.
struct Entry {
    chunk: u64,
    generation: u32,
    damaged: bool,
}

/// Parses a name. Only the exact form is accepted, so that each commit has one name only.
fn entry(name: &str) -> Option<Entry> {
    let mut parts = name.split('-');
    let number = parts.next()?;
    let chunk: u64 = number.parse().ok()?;
    let generation = parts.next();
    let damaged = match parts.next() {
        None => false,
        Some("damaged") => true,
        Some(_) => return None,
    };
    let exact = |text: &str| text.parse().ok().filter(|number: &u32| number.to_string() == text);
    let generation = match generation {
        None => 0,
        Some(generation) => exact(generation).filter(|number| *number < GENERATIONS)?,
    };
    let well_formed = format!("{chunk:012}") == number && parts.next().is_none();
    let has_generation = damaged || generation > 0 || !name.contains('-');
    (well_formed && has_generation).then_some(Entry { chunk, generation, damaged })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        id::JobId,
        protocol::failed_together,
        storage::{MemoryStorage, PutMode, StorageClient},
    };

    const CALLS: (u64, u64) = (8, 12);

    fn journal() -> Journal {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        Journal::new(&storage, JobId::from_bytes([1; 16]))
    }

    /// Outcomes of the calls of chunk 2, with `author` in them.
    fn bundle(journal: &Journal, author: &str) -> ChunkOutcomes {
        let reports = failed_together(journal.job(), vec![CALLS], author.as_bytes()).collect();
        ChunkOutcomes { logs: Vec::new(), reports }
    }

    fn author(bundle: &ChunkOutcomes) -> String {
        String::from_utf8_lossy(bundle.reports[0].value(0)).into_owned()
    }

    async fn change(journal: &Journal, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let (storage, bucket) = (&journal.storage, journal.bucket.as_str());
        let mut bytes = storage.get(bucket, key).await.expect("it is there").to_vec();
        change(&mut bytes);
        storage.put(bucket, key, bytes.into(), PutMode::Overwrite).await.expect("stored");
    }

    async fn read(journal: &Journal) -> Option<String> {
        journal.bundle(2, CALLS).await.expect("reads").map(|bundle| author(&bundle))
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_wrong_with_outcomes_their_chunk_is_open_again_and_the_next_ones_stand() {
        let len = bundle(&journal(), "first").encode().expect("encodes").len() + sealed::HEADER;
        let flips = (0..len)
            .map(|at| Box::new(move |bytes: &mut Vec<u8>| bytes[at] ^= 1) as Box<dyn FnOnce(&mut Vec<u8>)>);
        let cuts = (0..len).map(|to| Box::new(move |bytes: &mut Vec<u8>| bytes.truncate(to)) as _);
        let longer = Box::new(|bytes: &mut Vec<u8>| bytes.push(0)) as _;
        for damage in flips.chain(cuts).chain([longer]) {
            let journal = journal();
            let stored = journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
            assert!(matches!(stored, Stored::Ours));
            assert_eq!(journal.committed().await.expect("lists"), [2]);
            change(&journal, &journal.keys.commit(2, 0), damage).await;
            assert_eq!(read(&journal).await, None);
            assert!(journal.committed().await.expect("lists").is_empty(), "it is open again");
            let note =
                journal.storage.get(&journal.bucket, &journal.keys.damage(2, 0)).await.expect("a note");
            assert!(String::from_utf8_lossy(&note).contains("/commit/000000000002` is damaged"), "{note:?}");
            let stored = journal.commit(2, CALLS, &bundle(&journal, "second")).await.expect("stored");
            assert!(matches!(stored, Stored::Ours));
            assert_eq!(journal.committed().await.expect("lists"), [2]);
            assert_eq!(read(&journal).await.as_deref(), Some("second"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn damage_is_noticed_by_whoever_comes_second_too_and_all_of_them_see_the_same() {
        let journal = journal();
        journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
        change(&journal, &journal.keys.commit(2, 0), |bytes| bytes.clear()).await;
        let (one, other) = (bundle(&journal, "one"), bundle(&journal, "other"));
        let (one, other) = tokio::join!(journal.commit(2, CALLS, &one), journal.commit(2, CALLS, &other));
        let seen = |stored, ours: &str| match stored {
            Stored::Ours => ours.to_owned(),
            Stored::Theirs(bundle) => author(&bundle),
        };
        let (one, other) = (seen(one.expect("stored"), "one"), seen(other.expect("stored"), "other"));
        assert_eq!(one, other, "both take what was put first");
        assert_eq!(read(&journal).await, Some(one));
        // The second generation is damaged too.
        change(&journal, &journal.keys.commit(2, 1), |bytes| bytes.truncate(60)).await;
        assert_eq!(read(&journal).await, None);
        journal.commit(2, CALLS, &bundle(&journal, "third")).await.expect("stored");
        assert_eq!(read(&journal).await.as_deref(), Some("third"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_wrongly_once_is_read_again() {
        let journal = journal();
        journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
        let key = journal.keys.commit(2, 0);
        let right = journal.storage.get(&journal.bucket, &key).await.expect("it is there");
        change(&journal, &key, |bytes| bytes[70] ^= 4).await;
        let mending = async {
            sleep(PAUSE / 2).await;
            change(&journal, &key, |bytes| *bytes = right.to_vec()).await;
        };
        let (read, ()) = tokio::join!(read(&journal), mending);
        assert_eq!(read.as_deref(), Some("first"));
    }

    #[tokio::test(start_paused = true)]
    async fn outcomes_of_other_calls_and_other_jobs_are_none_of_these() {
        let journal = journal();
        journal.commit(2, CALLS, &bundle(&journal, "first")).await.expect("stored");
        let bytes = journal.storage.get(&journal.bucket, &journal.keys.commit(2, 0)).await.expect("there");
        let key = journal.keys.commit(3, 0);
        journal.storage.put(&journal.bucket, &key, bytes, PutMode::Overwrite).await.expect("stored");
        assert!(journal.bundle(3, CALLS).await.expect("reads").is_none(), "it was stored as another chunk");
        let other = ChunkOutcomes {
            logs: Vec::new(),
            reports: failed_together(JobId::from_bytes([2; 16]), vec![CALLS], b"x").collect(),
        };
        journal.commit(4, CALLS, &other).await.expect("stored");
        assert!(journal.bundle(4, CALLS).await.expect("reads").is_none(), "they are another job's");
    }

    #[tokio::test]
    async fn what_is_long_is_not_read_before_it_is_known_to_be_outcomes() {
        let journal = journal();
        let key = journal.keys.commit(2, 0);
        for junk in [vec![0; 65 << 20], [&b"lithops\x01"[..], &[7; 65 << 20]].concat()] {
            journal
                .storage
                .put(&journal.bucket, &key, junk.into(), PutMode::Overwrite)
                .await
                .expect("stored");
            let error = journal.sealed_at(&key).await.expect_err("it is no bundle");
            assert!(is_damage(&error) && error.to_string().contains(&key), "{error}");
        }
        let body = vec![7; 65 << 20];
        let sealed = sealed::seal("a", body.into()).await;
        journal.storage.put(&journal.bucket, &key, sealed.clone(), PutMode::Overwrite).await.expect("stored");
        assert!(journal.sealed_at(&key).await.expect("reads").is_some_and(|read| read == sealed));
    }

    #[test]
    fn only_names_as_they_are_written_count() {
        let standing = |names: &[&str]| standing(names.iter().copied()).collect::<Vec<_>>();
        let name = |number: u64| format!("{number:012}");
        assert_eq!(standing(&[&name(3), &name(7)]), [3, 7]);
        assert_eq!(
            standing(&["3", "+00000000003", "0000000000003", "000000000003x", "18446744073709551616"]),
            [0; 0]
        );
        let damaged = [name(3), format!("{}-0-damaged", name(3))];
        let damaged: Vec<_> = damaged.iter().map(String::as_str).collect();
        assert_eq!(standing(&damaged), [0; 0]);
        let next = format!("{}-1", name(3));
        assert_eq!(standing(&[&damaged[..], &[next.as_str()]].concat()), [3]);
        let again = format!("{}-1-damaged", name(3));
        assert_eq!(standing(&[&damaged[..], &[next.as_str(), again.as_str()]].concat()), [0; 0]);
        for odd in [
            "000000000003-0",
            "000000000003-01",
            "000000000003-4294967295-damaged",
            "000000000003-1-x",
            "000000000003-1-damaged-1",
        ] {
            assert_eq!(standing(&[odd]), [0; 0], "{odd}");
            assert_eq!(standing(&["000000000003", odd]), [3], "{odd}");
        }
    }
}
