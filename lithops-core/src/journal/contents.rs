//! [`Journal`]: reads and writes the objects of one durable job.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::TryStreamExt;

use super::{
    Owner, keys,
    keys::Keys,
    sealed::{self, damaged},
    segment::Segment,
};
use crate::{
    bytes::Bytes,
    digest::Digest,
    error::{Error, ErrorKind, Result},
    id::JobId,
    protocol::{InputBatch, Payloads},
    storage::{BlobRef, PutMode, Storage, StorageClient, insist},
};

/// The most bytes of a beat, which is a number or a word.
const LONGEST_BEAT: u64 = 64;

/// The objects of one durable job in a storage.
#[derive(Debug, Clone)]
pub struct Journal {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) bucket: String,
    pub(super) keys: Keys,
    pub(super) job: JobId,
}

impl Journal {
    /// The journal of a job in a storage.
    #[must_use]
    pub fn new(storage: &StorageClient, job: JobId) -> Self {
        let (bucket, storage) = (storage.bucket().to_owned(), Arc::clone(storage.storage()));
        Self { storage, bucket, keys: Keys::of(job), job }
    }

    /// The id of the job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The prefix of the keys of all its objects, with a slash at the end.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.keys.folder()
    }

    /// Stores a part of the inputs as segment `number`.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub async fn put_inputs(&self, number: u64, taken: &InputBatch) -> Result<Segment> {
        let unexpected =
            |what: String| Error::new(ErrorKind::Unexpected, format!("cannot store the inputs: {what}"));
        let narrow = |len: usize| u32::try_from(len).map_err(|error| unexpected(error.to_string()));
        let failed = postcard::to_stdvec(&taken.failed).map_err(|error| unexpected(error.to_string()))?;
        let mut bytes = Vec::with_capacity(taken.inputs.encoded_len() + failed.len() + 8);
        bytes.extend_from_slice(&narrow(taken.inputs.len())?.to_le_bytes());
        bytes.extend_from_slice(&narrow(failed.len())?.to_le_bytes());
        bytes.extend_from_slice(&failed);
        taken.inputs.write(&mut bytes);
        let (calls, len) = (taken.inputs.len() as u64, bytes.len() as u64);
        let segment = Segment { calls, len, digest: Digest::of(&bytes) };
        self.put(&self.keys.inputs(number), bytes.into()).await?;
        Ok(segment)
    }

    /// Reads the inputs of segment `number`.
    ///
    /// # Errors
    /// When the segment is missing, or differs from what was stored.
    pub async fn inputs(&self, number: u64, segment: &Segment) -> Result<InputBatch> {
        let key = self.keys.inputs(number);
        let bytes = self.must_get(&key, segment.len).await?.into_inner();
        segment.digest.check(&bytes, &key)?;
        let [a, b, c, d, e, f, g, h] =
            *bytes.first_chunk().ok_or_else(|| damaged(&key, "it is cut short"))?;
        let (count, failed_len) =
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]) as usize);
        if u64::from(count) != segment.calls {
            return Err(damaged(&key, format_args!("it has {count} inputs of {}", segment.calls)));
        }
        let values = failed_len.checked_add(8).filter(|start| *start <= bytes.len());
        let values = values.ok_or_else(|| damaged(&key, "it is cut short"))?;
        let failed: Vec<(usize, Vec<u8>)> =
            postcard::from_bytes(&bytes[8..values]).map_err(|error| damaged(&key, error))?;
        if failed.iter().any(|(at, _)| *at >= count as usize) {
            return Err(damaged(&key, "it tells of inputs that it has not"));
        }
        let inputs = Payloads::read(&bytes.slice(values..), count).map_err(|error| damaged(&key, error))?;
        Ok(InputBatch { inputs, failed, ended: false })
    }

    /// Stores a shared value under its number.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub async fn put_shared(&self, number: usize, value: Bytes) -> Result<BlobRef> {
        BlobRef::put(&self.client(), self.keys.shared(number), value).await
    }

    /// Reads the shared values.
    ///
    /// # Errors
    /// When one is missing, or differs from what was stored.
    pub async fn shared(&self, stored: &[BlobRef]) -> Result<Vec<Bytes>> {
        let (client, mut values) = (self.client(), Vec::new());
        for blob in stored {
            values.push(blob.get(&client).await?);
        }
        Ok(values)
    }

    /// The key of an offloaded payload of this name.
    #[must_use]
    pub fn blob(&self, name: &str) -> String {
        self.keys.blob(name)
    }

    /// Marks the objects of a job that is not durable as this process's, so that `lithops clean`
    /// can tell the owner. Returns whether the mark is new.
    ///
    /// # Errors
    /// When the storage refuses the mark.
    pub async fn mark(&self) -> Result<bool> {
        self.put_lease(1, &Owner::this_process()).await
    }

    /// Removes the mark of [`mark`](Self::mark), for a job of which nothing was stored.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn unmark(&self) -> Result<()> {
        self.remove(&self.keys.lease(1)).await
    }

    /// Removes a single object of the job.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn remove(&self, key: &str) -> Result<()> {
        insist(|| self.storage.delete(&self.bucket, key)).await
    }

    fn client(&self) -> StorageClient {
        StorageClient::new(Arc::clone(&self.storage), self.bucket.as_str())
    }

    /// Asks the client that drives the job to cancel it.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub async fn ask_to_cancel(&self) -> Result<()> {
        self.put(&self.keys.cancel(), b"cancel".to_vec().into()).await
    }

    /// Whether a client has asked to cancel the job.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn is_to_be_cancelled(&self) -> Result<bool> {
        let key = self.keys.cancel();
        match insist(|| self.storage.head(&self.bucket, &key)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts the mark by which workers see that they are to end what they run of the job: those that look for it, because
    /// their client has no other way to tell them.
    ///
    /// # Errors
    /// When the storage refuses the object.
    pub async fn put_stop(&self) -> Result<()> {
        self.put(&self.keys.stop(), b"stop".to_vec().into()).await
    }

    /// Whether that mark is there. The storage is asked once.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn is_stopped(&self) -> Result<bool> {
        match self.storage.head(&self.bucket, &self.keys.stop()).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes that mark, so that workers may run the job.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn remove_stop(&self) -> Result<()> {
        self.remove(&self.keys.stop()).await
    }

    /// Removes all objects of the job. The record is removed first, so that no client attaches to
    /// an incomplete job.
    ///
    /// # Errors
    /// When the storage refuses a removal.
    pub async fn delete(&self) -> Result<()> {
        let record = self.keys.record();
        insist(|| self.storage.delete(&self.bucket, &record)).await?;
        let folder = self.keys.folder();
        insist(|| self.storage.remove_folder(&self.bucket, folder)).await
    }

    /// Marks that a client reads the job, so that its objects are not removed meanwhile. The client
    /// repeats the mark while it reads.
    ///
    /// # Errors
    /// When the storage refuses the mark.
    pub async fn put_reader(&self, reader: &Owner) -> Result<()> {
        let key = self.keys.reader(&reader.name);
        self.put(&key, sealed::to_json(self.name(&key), reader)?.into()).await
    }

    /// Removes the mark that a client reads the job.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn remove_reader(&self, reader: &Owner) -> Result<()> {
        let key = self.keys.reader(&reader.name);
        insist(|| self.storage.delete(&self.bucket, &key)).await
    }

    /// Leaves the removal of the job to its last reader.
    ///
    /// # Errors
    /// When the storage refuses the mark.
    pub(crate) async fn put_removable(&self) -> Result<()> {
        self.put(&self.keys.removable(), Bytes::default()).await
    }

    /// Removes the job if that was left to its last reader, and no other client reads it.
    ///
    /// # Errors
    /// When the storage cannot be used.
    pub(crate) async fn remove_if_left(&self) -> Result<()> {
        if self.get(&self.keys.removable(), 1).await?.is_none() || self.is_read().await? {
            return Ok(());
        }
        self.delete().await
    }

    /// Whether a client still reads the job. A mark that cannot be decoded counts as that of a client.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn is_read(&self) -> Result<bool> {
        let is_there = |reader: &Option<Owner>| reader.as_ref().is_none_or(|reader| !reader.is_gone());
        Ok(self.readers().await?.iter().any(is_there))
    }

    /// The epochs of all leases that were ever taken, highest last. A number far above the epochs
    /// before it was not written by a client, and is left out.
    pub(super) async fn epochs(&self) -> Result<Vec<u64>> {
        let listed = self.listed(&self.keys.leases()).await?;
        let mut epochs: Vec<u64> = Vec::new();
        for epoch in listed.iter().filter_map(|key| keys::epoch(key)) {
            if epoch > 0 && epoch - epochs.last().copied().unwrap_or(0) <= keys::LONGEST_GAP {
                epochs.push(epoch);
            }
        }
        Ok(epochs)
    }

    /// Stores the lease of an epoch. Returns whether this call was the first.
    pub(super) async fn put_lease(&self, epoch: u64, owner: &Owner) -> Result<bool> {
        let key = self.keys.lease(epoch);
        let content = sealed::to_json(self.name(&key), owner)?;
        self.put_if_absent(&key, &content.into()).await
    }

    /// The owner of the lease of an epoch; `None` when the object is missing or damaged. A damaged
    /// lease is still a lease.
    pub(crate) async fn lease(&self, epoch: u64) -> Result<Option<Owner>> {
        match self.owner_at(&self.keys.lease(epoch)).await {
            Err(error) if is_damage(&error) => {
                tracing::warn!(job = %self.job, %error, "nobody can tell whose lease it is");
                Ok(None)
            }
            owner => owner,
        }
    }

    /// Reads a lease or the mark of a reader; `None` if it is missing.
    pub(super) async fn owner_at(&self, key: &str) -> Result<Option<Owner>> {
        let content = self.get(key, Owner::LONGEST).await?;
        content.map(|content| sealed::from_json(self.name(key), &content, key)).transpose()
    }

    /// Overwrites the beat of an epoch.
    pub(super) async fn put_beat(&self, epoch: u64, beat: &str) -> Result<()> {
        self.put(&self.keys.beat(epoch), beat.to_owned().into()).await
    }

    /// Reads the beat of an epoch; `None` if it is missing.
    pub(super) async fn beat(&self, epoch: u64) -> Result<Option<String>> {
        let beat = match self.get(&self.keys.beat(epoch), LONGEST_BEAT).await {
            // A damaged beat keeps no lease alive, since it does not change; the next heartbeat
            // overwrites it.
            Err(error) if is_damage(&error) => Some(Bytes::from("damaged")),
            beat => beat?,
        };
        Ok(beat.map(|beat| String::from_utf8_lossy(&beat).into_owned()))
    }

    /// Stores an object, and replaces an existing one.
    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        insist(|| self.storage.put(&self.bucket, key, bytes.clone(), PutMode::Overwrite)).await
    }

    /// Stores an object unless its key exists. Returns whether the stored object is the one of this call.
    pub(super) async fn put_if_absent(&self, key: &str, bytes: &Bytes) -> Result<bool> {
        let uncertain = AtomicBool::new(false);
        let put = insist(|| async {
            let put = self.storage.put(&self.bucket, key, bytes.clone(), PutMode::IfAbsent).await;
            put.inspect_err(|error| {
                uncertain.fetch_or(error.kind() != ErrorKind::AlreadyExists, Ordering::Relaxed);
            })
        });
        match put.await {
            Ok(()) => Ok(true),
            // An earlier try of this call that failed may have stored the object.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && uncertain.load(Ordering::Relaxed) => {
                let stored = self.get(key, bytes.len() as u64).await;
                match stored {
                    Err(error) if is_damage(&error) => Ok(false),
                    stored => Ok(stored?.is_some_and(|stored| *stored == **bytes)),
                }
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads an object; `None` if it is missing. An object of more than `limit` bytes is reported
    /// as damaged.
    pub(super) async fn get(&self, key: &str, limit: u64) -> Result<Option<Bytes>> {
        match insist(|| self.storage.get_within(&self.bucket, key, limit)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::PayloadTooLarge => {
                Err(damaged(key, error.message()).with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Like [`get`](Self::get), but a missing object is an error.
    async fn must_get(&self, key: &str, limit: u64) -> Result<Bytes> {
        self.get(key, limit).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the stored job {} lacks `{key}`", self.job))
                .with_hint("somebody has removed it; `lithops clean` removes what is left")
        })
    }

    /// The keys that start with a prefix, in ascending order.
    pub(super) async fn listed(&self, prefix: &str) -> Result<Vec<String>> {
        let keys = || self.storage.list(&self.bucket, prefix).map_ok(|object| object.key).try_collect();
        insist(keys).await
    }

    /// The name of an object in its digest: the job id and the key below its folder, without the
    /// path of that folder.
    pub(crate) fn name<'a>(&self, key: &'a str) -> &'a str {
        let job = self.keys.folder().len() - keys::JOB_LEN;
        key.get(job..).unwrap_or(key)
    }
}

/// Whether the error says that an object differs from what was stored, so that another read does not help.
pub(crate) fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Damaged
}
