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
#[path = "commits_tests.rs"]
mod tests;
