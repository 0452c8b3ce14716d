//! Commits: the outcomes of chunks, and of parts of chunks, as they are stored and found again.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::sleep;

use super::{
    Bundle, Journal,
    contents::{insist, is_damage},
    keys, sealed,
    sealed::damaged,
};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
};

/// What cannot be understood is read so often: it may have been damaged on the way only.
const READS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// A chunk whose outcomes were damaged so often is not run again.
const GENERATIONS: u32 = 100;
/// Outcomes up to this size are read in one go. Of longer ones it is looked first whether they are some at all.
const IN_ONE_GO: u64 = 64 << 20;

/// What has become of a bundle that was put.
#[derive(Debug)]
pub enum Stored {
    /// It was the first: these are the outcomes of the chunk.
    Ours,
    /// Another was first: these are.
    Theirs(Bundle),
}

impl Journal {
    /// Commits the outcomes of a chunk, `first..end`: the first to do so has done it.
    ///
    /// # Errors
    /// When the storage does not take them.
    pub async fn commit(&self, chunk: u64, calls: (u64, u64), bundle: &Bundle) -> Result<Stored> {
        let (first, end) = calls;
        if !bundle.is_of(first, end) {
            let problem =
                format!("the outcomes of chunk {chunk} are not one for each of calls {first} to {end}");
            return Err(Error::new(ErrorKind::Unexpected, problem));
        }
        let body = bundle.encode()?;
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
            // What is there is damaged, and known to be.
            generation = self.generation(chunk).await?;
        }
        let problem = format!("the outcomes of chunk {chunk} of job {} were damaged {generation} times", self.job);
        Err(Error::new(ErrorKind::Damaged, problem).with_hint("what writes to the storage beside lithops?"))
    }

    /// The bytes to commit for a chunk that nobody has committed yet, for whoever puts them there without this journal.
    ///
    /// # Errors
    /// When they cannot be encoded.
    pub(crate) async fn first_commit(&self, chunk: u64, bundle: &Bundle) -> Result<Bytes> {
        let key = self.keys.commit(chunk, 0);
        Ok(sealed::seal(self.name(&key), bundle.encode()?).await)
    }

    /// The chunks that are committed, in order.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn committed(&self) -> Result<Vec<u64>> {
        let prefix = self.keys.commits();
        let listed = self.listed(&prefix).await?;
        Ok(standing(listed.iter().map(|key| &key[prefix.len()..])).collect())
    }

    /// The committed outcomes of a chunk, `first..end`; `None` when there are none, or they are damaged: then that is
    /// noted, and the chunk is open again.
    ///
    /// # Errors
    /// When the storage cannot be read, or does not take the note.
    pub async fn bundle(&self, chunk: u64, calls: (u64, u64)) -> Result<Option<Bundle>> {
        let mut generation = 0;
        let mut reads = 0;
        loop {
            let key = self.keys.commit(chunk, generation);
            let error = match self.bundle_at(&key, calls).await {
                Err(error) if is_damage(&error) => error,
                read => return read,
            };
            // Another may have found it damaged before.
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

    /// How often outcomes of the chunk were found damaged: those that count have this number.
    async fn generation(&self, chunk: u64) -> Result<u32> {
        let listed = self.listed(&self.keys.commit(chunk, 0)).await?;
        let marks = listed.iter().filter_map(|key| entry(key.rsplit('/').next()?));
        let marks = marks.filter(|entry| entry.chunk == chunk && entry.damaged);
        Ok(marks.map(|mark| mark.generation + 1).max().unwrap_or(0))
    }

    async fn bundle_at(&self, key: &str, (first, end): (u64, u64)) -> Result<Option<Bundle>> {
        let Some(sealed) = self.sealed_at(key).await? else { return Ok(None) };
        let body = sealed::open(self.name(key), &sealed, key).await?.into_inner();
        let bundle = Bundle::decode(&body, first, end).map_err(|error| damaged(key, error.message()))?;
        if bundle.reports.iter().any(|report| report.header.run.job != self.job) {
            return Err(damaged(key, "it holds outcomes of another job"));
        }
        Ok(Some(bundle))
    }

    /// The bytes of something sealed, of whatever length; but what is long must begin as it should, and be as long as
    /// it says, before it is read.
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

    /// Stores outcomes `first..end` that do not commit a chunk: those of a part of it, or with failures that may be
    /// tried again. No two attempts have the same author.
    ///
    /// # Errors
    /// When the storage does not take them.
    pub async fn put_part(&self, (first, end): (u64, u64), author: &str, bundle: &Bundle) -> Result<()> {
        let key = format!("{}{}", self.keys.parts(), keys::part(first, end, author));
        let bytes = sealed::seal(self.name(&key), bundle.encode()?).await;
        self.put(&key, bytes).await
    }

    /// The names of such outcomes.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn parts(&self) -> Result<Vec<String>> {
        let prefix = self.keys.parts();
        Ok(self.listed(&prefix).await?.into_iter().map(|key| key[prefix.len()..].to_owned()).collect())
    }

    /// Such outcomes, of a job of so many calls; `None` when they are not there any more, or damaged: whoever waits for
    /// them finds that they were lost.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn part(&self, name: &str, calls: u64) -> Result<Option<Bundle>> {
        let key = format!("{}{name}", self.keys.parts());
        let Some((first, end)) = keys::calls_of_part(name).filter(|(_, end)| *end <= calls) else {
            tracing::warn!(job = %self.job, key, "it is not named as outcomes of this job are");
            return Ok(None);
        };
        match self.bundle_at(&key, (first, end)).await {
            Err(error) if is_damage(&error) => {
                tracing::warn!(job = %self.job, %error, "damaged outcomes do not count: their calls are run again");
                Ok(None)
            }
            read => read,
        }
    }
}

/// The chunks that are committed when these names stand below `commit/`, in order.
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

/// What a name below `commit/` says.
struct Entry {
    chunk: u64,
    generation: u32,
    damaged: bool,
}

/// Only what is written as such names are is one: a number has one way to be written.
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
