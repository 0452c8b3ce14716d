//! [`Fleet`]: where a client puts what its fleet is to do, and where the workers find it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt};

use super::JobManifest;
use crate::{
    error::{Error, ErrorKind, Result},
    id::JobId,
    protocol::FleetKey,
    storage::{ObjectMeta, PutMode, StorageClient, insist, own_keys},
};

/// The most bytes of a post: some dozens for each of the segments of its inputs, which there is one of for 16,384 calls or
/// 8 MiB, and what workers are told of the job.
const LONGEST_POST: u64 = 64 << 20;

/// The posts of a fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    storage: StorageClient,
    folder: String,
    key: FleetKey,
}

/// What all fleets were told, whichever they are.
#[derive(Debug, Default)]
pub(crate) struct AllManifests {
    /// The objects, by the job they are about.
    pub(crate) manifests: BTreeMap<JobId, Vec<ObjectMeta>>,
    /// What unfinished puts have left.
    pub(crate) unfinished: Vec<ObjectMeta>,
    /// What cannot be looked at.
    pub(crate) unreadable: Vec<Error>,
}

/// Looks what all fleets were told.
pub(crate) async fn all_manifests(storage: &StorageClient) -> AllManifests {
    let mut all = AllManifests::default();
    let mut found = storage.storage().survey(storage.bucket(), own_keys::FLEETS);
    while let Some(object) = found.next().await {
        match object {
            Ok(object) if storage.storage().is_unfinished(&object.key) => all.unfinished.push(object),
            Ok(object) => {
                let job = object.key.rsplit_once("/jobs/").and_then(|(_, job)| job.parse().ok());
                if let Some(job) = job {
                    all.manifests.entry(job).or_default().push(object);
                }
            }
            Err(error) => all.unreadable.push(error),
        }
    }
    all
}

impl Fleet {
    /// The fleet of this name and key in a storage.
    #[must_use]
    pub fn new(storage: &StorageClient, name: &str, key: FleetKey) -> Self {
        Self { storage: storage.clone(), folder: format!("{}{name}/jobs/", own_keys::FLEETS), key }
    }

    /// Wants a job done.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub async fn put(&self, manifest: &JobManifest) -> Result<()> {
        let key = self.key_of(manifest.spec.job);
        let signed = self.key.sign(&key, &manifest.encode()?);
        if signed.len() as u64 > LONGEST_POST {
            let problem = format!(
                "what a fleet is told of job {} has {} bytes, where at most {LONGEST_POST} are taken",
                manifest.spec.job,
                signed.len()
            );
            return Err(Error::new(ErrorKind::PayloadTooLarge, problem)
                .with_hint("put large values of the environment into the storage"));
        }
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        insist(|| storage.put(bucket, &key, signed.clone(), PutMode::Overwrite)).await
    }

    /// Wants it no more.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub async fn remove(&self, job: JobId) -> Result<()> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.key_of(job));
        insist(|| storage.delete(bucket, &key)).await
    }

    /// Whether a job's post is there.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn has(&self, job: JobId) -> Result<bool> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.key_of(job));
        match insist(|| storage.head(bucket, &key)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The jobs that are wanted, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn jobs(&self) -> Result<Vec<JobId>> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let listed: Vec<ObjectMeta> = insist(|| storage.list(bucket, &self.folder).try_collect()).await?;
        let name = |object: &ObjectMeta| object.key.strip_prefix(&self.folder)?.parse().ok();
        Ok(listed.iter().filter_map(name).collect())
    }

    /// A job, if it is wanted still.
    ///
    /// # Errors
    /// `PermissionDenied` when it is not signed with the key of this fleet.
    pub async fn get(&self, job: JobId) -> Result<Option<JobManifest>> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.key_of(job));
        // Somebody else may have put it there: it is not read unless it is of a sensible size.
        let found = insist(|| storage.get_within(bucket, &key, LONGEST_POST));
        match found.await {
            Ok(signed) => {
                let manifest = JobManifest::decode(&self.key.open(&key, &signed)?)?;
                if manifest.spec.job != job || manifest.chunksize == 0 {
                    return Err(Error::new(
                        ErrorKind::Unexpected,
                        format!("`{key}` is the post of another job"),
                    ));
                }
                let inputs =
                    manifest.segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.calls));
                if inputs != manifest.calls {
                    let problem =
                        format!("`{key}` says {} calls, and inputs for {inputs} are stored", manifest.calls);
                    return Err(Error::new(ErrorKind::Unexpected, problem));
                }
                Ok(Some(manifest))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn key_of(&self, job: JobId) -> String {
        format!("{}{job}", self.folder)
    }
}
