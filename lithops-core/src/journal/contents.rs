//! [`Journal`]: the objects of one durable job, read and written.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt};
use tokio::time::sleep;

use super::{Bundle, JobRecord, Owner, Segment, keys, keys::Keys};
use crate::{
    bytes::Bytes,
    digest::Digest,
    error::{Error, ErrorKind, Result, Retry},
    id::JobId,
    job::Taken,
    parcel::Parcel,
    protocol::Payloads,
    storage::{ObjectMeta, PutMode, Storage, StorageClient},
};

/// An operation that may succeed later is tried this often, with pauses that double: for about 25 s together.
const TRIES: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What has become of a bundle that was put.
#[derive(Debug)]
pub enum Stored {
    /// It was the first: these are the outcomes of the chunk.
    Ours,
    /// Another was first: these are.
    Theirs(Bundle),
}

/// The objects of one durable job.
#[derive(Debug, Clone)]
pub struct Journal {
    storage: Arc<dyn Storage>,
    bucket: String,
    keys: Keys,
    job: JobId,
}

impl Journal {
    /// The journal of a job in a storage, below the prefix of its locator.
    #[must_use]
    pub fn new(storage: &StorageClient, prefix: Option<&str>, job: JobId) -> Self {
        let (bucket, storage) = (storage.bucket().to_owned(), Arc::clone(storage.storage()));
        Self { storage, bucket, keys: Keys::of(prefix, job), job }
    }

    /// The jobs that anything is stored of, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn list(storage: &StorageClient, prefix: Option<&str>) -> Result<Vec<Self>> {
        let all = keys::all(prefix);
        let mut listed = storage.storage().list(storage.bucket(), &all);
        let mut jobs: Vec<Self> = Vec::new();
        while let Some(object) = listed.next().await {
            let key = object?.key;
            let job: Option<JobId> = key[all.len()..].split_once('/').and_then(|(job, _)| job.parse().ok());
            if let Some(job) = job.filter(|job| jobs.last().is_none_or(|last| last.job != *job)) {
                jobs.push(Self::new(storage, prefix, job));
            }
        }
        Ok(jobs)
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    /// What the job is.
    ///
    /// # Errors
    /// `NotDurable` when nothing is stored of it.
    pub async fn record(&self) -> Result<JobRecord> {
        let key = self.keys.record();
        match self.get(&key).await? {
            Some(bytes) => JobRecord::decode(&bytes, &key),
            None => Err(Error::new(ErrorKind::NotDurable, format!("nothing is stored of job {}", self.job)).with_hint(
                "only a job that was started with `.durable()` survives its client, until it is finished and its \
                 handles are dropped; is this the storage it was started with?",
            )),
        }
    }

    /// Whether anything is stored that says what the job is.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn has_record(&self) -> Result<bool> {
        let key = self.keys.record();
        match insist(|| self.storage.head(&self.bucket, &key)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores what the job is: from now on others see it.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn put_record(&self, record: &JobRecord) -> Result<()> {
        self.put(&self.keys.record(), record.encode()?.into()).await
    }

    /// What the keys of all its objects start with.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.keys.folder()
    }

    /// Stores a part of the inputs.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn put_inputs(&self, number: u64, taken: &Taken) -> Result<Segment> {
        let unexpected =
            |what: String| Error::new(ErrorKind::Unexpected, format!("cannot store the inputs: {what}"));
        let narrow = |len: usize| u32::try_from(len).map_err(|error| unexpected(error.to_string()));
        let failed = postcard::to_stdvec(&taken.failed).map_err(|error| unexpected(error.to_string()))?;
        let mut bytes = Vec::with_capacity(taken.inputs.encoded_len() + failed.len() + 8);
        bytes.extend_from_slice(&narrow(taken.inputs.len())?.to_le_bytes());
        bytes.extend_from_slice(&narrow(failed.len())?.to_le_bytes());
        bytes.extend_from_slice(&failed);
        taken.inputs.write(&mut bytes);
        let segment = Segment { calls: taken.inputs.len() as u64, digest: Digest::of(&bytes) };
        self.put(&self.keys.inputs(number), bytes.into()).await?;
        Ok(segment)
    }

    /// A part of the inputs.
    ///
    /// # Errors
    /// When it is not there, or is not what was stored.
    pub async fn inputs(&self, number: u64, segment: &Segment) -> Result<Taken> {
        let key = self.keys.inputs(number);
        let bytes = self.must_get(&key).await?.into_inner();
        segment.digest.check(&bytes, &key)?;
        let damaged =
            || Error::new(ErrorKind::Unexpected, format!("segment {number} of the inputs is damaged"));
        let [a, b, c, d, e, f, g, h] = *bytes.first_chunk().ok_or_else(damaged)?;
        let (count, failed_len) =
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) as usize);
        let values = failed_len.checked_add(8).filter(|start| *start <= bytes.len()).ok_or_else(damaged)?;
        let failed = postcard::from_bytes(&bytes[8..values]).map_err(|_| damaged())?;
        if u64::from(count) != segment.calls {
            return Err(damaged());
        }
        Ok(Taken { inputs: Payloads::read(&bytes.slice(values..), count)?, failed, ended: false })
    }

    /// Stores a shared value.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn put_shared(&self, number: usize, value: Bytes) -> Result<Parcel> {
        Parcel::put(&self.client(), self.keys.shared(number), value).await
    }

    /// The shared values.
    ///
    /// # Errors
    /// When one is not there, or is not what was stored.
    pub async fn shared(&self, stored: &[Parcel]) -> Result<Vec<Bytes>> {
        let (client, mut values) = (self.client(), Vec::new());
        for parcel in stored {
            values.push(parcel.get(&client).await?);
        }
        Ok(values)
    }

    /// The key of a parcel of this name.
    #[must_use]
    pub fn parcel(&self, name: &str) -> String {
        self.keys.parcel(name)
    }

    /// Says whose it is what is stored of a job that is not durable, so that `lithops clean` knows.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn mark(&self) -> Result<()> {
        self.put_lease(1, &Owner::this_process()).await.map(drop)
    }

    /// Removes a single object of the job.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub async fn remove(&self, key: &str) -> Result<()> {
        insist(|| self.storage.delete(&self.bucket, key)).await
    }

    fn client(&self) -> StorageClient {
        StorageClient::new(Arc::clone(&self.storage), self.bucket.as_str())
    }

    /// Commits the outcomes of a chunk, `first..end`: the first to do so has done it.
    ///
    /// # Errors
    /// When the storage does not take them.
    pub async fn commit(&self, chunk: u64, (first, end): (u64, u64), bundle: &Bundle) -> Result<Stored> {
        if !bundle.is_of(first, end) {
            let problem =
                format!("the outcomes of chunk {chunk} are not one for each of calls {first} to {end}");
            return Err(Error::new(ErrorKind::Unexpected, problem));
        }
        let (key, bytes) = (self.keys.commit(chunk), Bytes::from(bundle.encode()?));
        if self.put_if_absent(&key, &bytes).await? {
            return Ok(Stored::Ours);
        }
        let stored = self.must_get(&key).await?.into_inner();
        Ok(Stored::Theirs(Bundle::decode(&stored, first, end)?))
    }

    /// The chunks that are committed, in order.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn committed(&self) -> Result<Vec<u64>> {
        let prefix = self.keys.commits();
        let listed: Vec<ObjectMeta> =
            insist(|| self.storage.list(&self.bucket, &prefix).try_collect()).await?;
        Ok(listed.iter().filter_map(|object| keys::number(&object.key)).collect())
    }

    /// The committed outcomes of a chunk, `first..end`.
    ///
    /// # Errors
    /// When they are not there or damaged.
    pub async fn bundle(&self, chunk: u64, (first, end): (u64, u64)) -> Result<Bundle> {
        let bytes = self.must_get(&self.keys.commit(chunk)).await?.into_inner();
        Bundle::decode(&bytes, first, end)
    }

    /// Stores outcomes `first..end` that do not commit a chunk: those of a part of it, or with failures that may be
    /// tried again. No two attempts have the same author.
    ///
    /// # Errors
    /// When the storage does not take them.
    pub async fn put_part(&self, (first, end): (u64, u64), author: &str, bundle: &Bundle) -> Result<()> {
        let name = keys::part(first, end, author);
        self.put(&format!("{}{name}", self.keys.parts()), bundle.encode()?.into()).await
    }

    /// The names of such outcomes.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn parts(&self) -> Result<Vec<String>> {
        let prefix = self.keys.parts();
        let listed: Vec<ObjectMeta> =
            insist(|| self.storage.list(&self.bucket, &prefix).try_collect()).await?;
        Ok(listed.into_iter().map(|object| object.key[prefix.len()..].to_owned()).collect())
    }

    /// Such outcomes.
    ///
    /// # Errors
    /// When they are not there or damaged.
    pub async fn part(&self, name: &str) -> Result<Bundle> {
        let bytes = self.must_get(&format!("{}{name}", self.keys.parts())).await?.into_inner();
        let (first, end) = keys::calls_of_part(name)
            .ok_or_else(|| Error::new(ErrorKind::Unexpected, format!("`{name}` does not name calls")))?;
        Bundle::decode(&bytes, first, end)
    }

    /// Says that the job is to be ended, to whoever drives it.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn ask_to_cancel(&self) -> Result<()> {
        self.put(&self.keys.cancel(), b"cancel".to_vec().into()).await
    }

    /// Whether somebody wants the job ended.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn is_to_be_cancelled(&self) -> Result<bool> {
        Ok(self.get(&self.keys.cancel()).await?.is_some())
    }

    /// Removes everything that is stored of the job; the record goes first, so that nobody attaches to half a job.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub async fn delete(&self) -> Result<()> {
        let record = self.keys.record();
        insist(|| self.storage.delete(&self.bucket, &record)).await?;
        let prefix = self.keys.folder();
        let listed: Vec<ObjectMeta> =
            insist(|| self.storage.list(&self.bucket, prefix).try_collect()).await?;
        let keys: Vec<_> = listed.into_iter().map(|object| object.key).collect();
        insist(|| self.storage.delete_many(&self.bucket, keys.clone())).await
    }

    /// Says that a client reads the job: what is stored of it is not to go meanwhile.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn put_reader(&self, reader: &Owner) -> Result<()> {
        let content = serde_json::to_vec(reader)
            .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode a reader: {error}")))?;
        self.put(&self.keys.reader(&reader.name), content.into()).await
    }

    /// Says that a client reads the job no more.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub async fn remove_reader(&self, reader: &Owner) -> Result<()> {
        let key = self.keys.reader(&reader.name);
        insist(|| self.storage.delete(&self.bucket, &key)).await
    }

    /// Whether a client reads the job, as far as can be told.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn is_read(&self) -> Result<bool> {
        let prefix = self.keys.readers();
        let listed: Vec<ObjectMeta> =
            insist(|| self.storage.list(&self.bucket, &prefix).try_collect()).await?;
        for object in listed {
            let reader = self.get(&object.key).await?;
            let reader = reader.and_then(|reader| serde_json::from_slice::<Owner>(&reader).ok());
            if reader.is_some_and(|reader| !reader.is_gone()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// When anything of the job was last written, by the storage's clock.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn last_change(&self) -> Result<Option<std::time::SystemTime>> {
        let prefix = self.keys.folder();
        let listed: Vec<ObjectMeta> =
            insist(|| self.storage.list(&self.bucket, prefix).try_collect()).await?;
        Ok(listed.into_iter().map(|object| object.modified).max())
    }

    /// The leases that were ever taken, by epoch, highest last, without what they say.
    pub(super) async fn epochs(&self) -> Result<Vec<u64>> {
        let prefix = self.keys.leases();
        let listed: Vec<ObjectMeta> =
            insist(|| self.storage.list(&self.bucket, &prefix).try_collect()).await?;
        Ok(listed.iter().filter_map(|object| keys::number(&object.key)).collect())
    }

    pub(super) async fn put_lease(&self, epoch: u64, owner: &Owner) -> Result<bool> {
        let content = serde_json::to_vec(owner)
            .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode a lease: {error}")))?;
        self.put_if_absent(&self.keys.lease(epoch), &content.into()).await
    }

    pub(crate) async fn lease(&self, epoch: u64) -> Result<Option<Owner>> {
        let content = self.get(&self.keys.lease(epoch)).await?;
        // What nobody understands is the lease of somebody all the same.
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }

    pub(super) async fn put_beat(&self, epoch: u64, beat: &str) -> Result<()> {
        self.put(&self.keys.beat(epoch), beat.to_owned().into()).await
    }

    pub(super) async fn beat(&self, epoch: u64) -> Result<Option<String>> {
        let beat = self.get(&self.keys.beat(epoch)).await?;
        Ok(beat.map(|beat| String::from_utf8_lossy(&beat).into_owned()))
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        insist(|| self.storage.put(&self.bucket, key, bytes.clone(), PutMode::Overwrite)).await
    }

    /// Whether these bytes are what is stored now, because they were put first.
    async fn put_if_absent(&self, key: &str, bytes: &Bytes) -> Result<bool> {
        let uncertain = AtomicBool::new(false);
        let put = insist(|| async {
            let put = self.storage.put(&self.bucket, key, bytes.clone(), PutMode::IfAbsent).await;
            put.inspect_err(|error| {
                uncertain.fetch_or(error.kind() != ErrorKind::AlreadyExists, Ordering::Relaxed);
            })
        });
        match put.await {
            Ok(()) => Ok(true),
            // A put that failed before may have been made all the same.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && uncertain.load(Ordering::Relaxed) => {
                Ok(self.get(key).await?.is_some_and(|stored| *stored == **bytes))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        match insist(|| self.storage.get(&self.bucket, key)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn must_get(&self, key: &str) -> Result<Bytes> {
        self.get(key).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the stored job {} lacks `{key}`", self.job))
                .with_hint("somebody has removed it; `lithops clean` removes what is left")
        })
    }
}

/// Tries an operation until it succeeds, or will not.
pub(crate) async fn insist<T, F: Future<Output = Result<T>>>(mut operation: impl FnMut() -> F) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        match operation().await {
            Err(error) if tries < TRIES && may_succeed_later(&error) => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Whether the same operation may succeed when it is tried again.
pub(crate) fn may_succeed_later(error: &Error) -> bool {
    error.retry() == Retry::Later || matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Timeout)
}
