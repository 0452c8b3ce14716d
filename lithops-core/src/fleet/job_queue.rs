//! [`Fleet`]: where a client stores job manifests, and where the workers of its fleet find them.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt};

use super::JobManifest;
use crate::{
    error::{Error, ErrorKind, Result},
    id::JobId,
    protocol::FleetKey,
    storage::{ObjectMeta, PutMode, StorageClient, insist, own_keys},
};

/// The most bytes of a signed manifest. A manifest holds the description of the job, and some
/// dozens of bytes for each segment of the inputs; a segment is 16,384 calls or 8 MiB.
const LONGEST_POST: u64 = 64 << 20;

/// The job manifests of a fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    storage: StorageClient,
    folder: String,
    key: FleetKey,
}

/// The manifests of all fleets of a storage.
#[derive(Debug, Default)]
pub(crate) struct AllManifests {
    /// The stored manifests, by the job that they describe.
    pub(crate) manifests: BTreeMap<JobId, Vec<ObjectMeta>>,
    /// What interrupted puts have left behind.
    pub(crate) unfinished: Vec<ObjectMeta>,
    /// The errors of objects or folders that could not be listed.
    pub(crate) unreadable: Vec<Error>,
}

/// Lists the manifests of all fleets. An error does not end the listing.
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
    /// The fleet of this name in a storage. Manifests are signed and checked with `key`.
    #[must_use]
    pub fn new(storage: &StorageClient, name: &str, key: FleetKey) -> Self {
        Self { storage: storage.clone(), folder: format!("{}{name}/jobs/", own_keys::FLEETS), key }
    }

    /// Stores the manifest of a job, so that the workers of the fleet run it.
    ///
    /// # Errors
    /// When the storage refuses the manifest, or the manifest is too large.
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

    /// Removes the manifest of a job, so that workers leave the job.
    ///
    /// # Errors
    /// When the storage refuses the removal.
    pub async fn remove(&self, job: JobId) -> Result<()> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.key_of(job));
        insist(|| storage.delete(bucket, &key)).await
    }

    /// Whether the manifest of a job is stored.
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

    /// The jobs whose manifests are stored, oldest first.
    ///
    /// # Errors
    /// When the storage cannot be listed.
    pub async fn jobs(&self) -> Result<Vec<JobId>> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let listed: Vec<ObjectMeta> = insist(|| storage.list(bucket, &self.folder).try_collect()).await?;
        let name = |object: &ObjectMeta| object.key.strip_prefix(&self.folder)?.parse().ok();
        Ok(listed.iter().filter_map(name).collect())
    }

    /// The manifest of a job; `None` once the client has removed it.
    ///
    /// # Errors
    /// `PermissionDenied` when it is not signed with the key of this fleet, `Unexpected` when it
    /// belongs to another job or contradicts itself.
    pub async fn get(&self, job: JobId) -> Result<Option<JobManifest>> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.key_of(job));
        // Another program may have written there: the object is not read if it is larger than any manifest.
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
