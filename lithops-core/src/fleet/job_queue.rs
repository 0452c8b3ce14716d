//! [`Fleet`]: where a client stores job manifests, and where the workers of its fleet find them.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt};

use super::{ClientState, JobManifest};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    id::JobId,
    protocol::{SignKey, VerifyKey, unchecked},
    storage::{ObjectMeta, PutMode, StorageClient, insist, own_keys},
};

/// The most bytes of a signed manifest. A manifest holds the description of the job, and some
/// dozens of bytes for each segment of the inputs; a segment is 16,384 calls or 8 MiB.
const LONGEST_POST: u64 = 64 << 20;

/// The most bytes of what a client says of itself, or a worker of its end.
const LONGEST_WORDS: u64 = 4 << 10;

/// The folder of the manifests below that of the fleet.
const JOBS: &str = "jobs/";

/// What is stored of a fleet: its job manifests, what its client says of itself, and why workers have ended.
#[derive(Debug, Clone)]
pub struct Fleet {
    storage: StorageClient,
    folder: String,
    key: VerifyKey,
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
    /// The fleet of this name in a storage. Manifests are checked with `key`.
    #[must_use]
    pub fn new(storage: &StorageClient, name: &str, key: VerifyKey) -> Self {
        Self { storage: storage.clone(), folder: folder_of(name), key }
    }

    /// Stores the manifest of a job, so that the workers of the fleet run it.
    ///
    /// # Errors
    /// When the storage refuses the manifest, or the manifest is too large.
    pub async fn put(&self, manifest: &JobManifest, sign: &SignKey) -> Result<()> {
        let key = self.key_of(manifest.spec.job);
        let signed = sign.sign(&key, &manifest.encode()?);
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
        let folder = format!("{}{JOBS}", self.folder);
        let listed: Vec<ObjectMeta> = insist(|| storage.list(bucket, &folder).try_collect()).await?;
        let name = |object: &ObjectMeta| object.key.strip_prefix(&folder)?.parse().ok();
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
                        format!("`{key}` is the manifest of another job"),
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
        format!("{}{JOBS}{job}", self.folder)
    }

    /// Stores what the client says of itself.
    ///
    /// # Errors
    /// When the storage refuses it.
    pub async fn put_client(&self, state: ClientState) -> Result<()> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.client_key());
        insist(|| storage.put(bucket, &key, state.encode(), PutMode::Overwrite)).await
    }

    /// What the client said last of itself; `None` when nothing is stored, or nothing that a client has written.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn client(&self) -> Result<Option<ClientState>> {
        said_by_client(&self.storage, &self.client_key()).await
    }

    /// Stores why a worker has ended, for its client.
    ///
    /// # Errors
    /// When the storage refuses it.
    pub async fn put_ended(&self, worker: &str, words: &str) -> Result<()> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let most = usize::try_from(LONGEST_WORDS).unwrap_or(usize::MAX);
        let end = words.floor_char_boundary(most);
        let (key, words) = (format!("{}ended/{worker}", self.folder), Bytes::from(words[..end].to_owned()));
        insist(|| storage.put(bucket, &key, words.clone(), PutMode::Overwrite)).await
    }

    /// Why a worker says that it has ended; `None` when it has said nothing.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn ended(&self, worker: &str) -> Result<Option<String>> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let key = format!("{}ended/{worker}", self.folder);
        match insist(|| storage.get_within(bucket, &key, LONGEST_WORDS)).await {
            Ok(words) => Ok(Some(String::from_utf8_lossy(&words).into_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PayloadTooLarge) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes what is stored of the fleet beside its job manifests.
    ///
    /// # Errors
    /// When the storage refuses a removal.
    pub async fn remove_state(&self) -> Result<()> {
        let (storage, bucket, key) = (self.storage.storage(), self.storage.bucket(), self.client_key());
        insist(|| storage.delete(bucket, &key)).await?;
        let ended = format!("{}ended/", self.folder);
        insist(|| storage.remove_folder(bucket, &ended)).await.map(drop)
    }

    fn client_key(&self) -> String {
        client_key(&self.folder)
    }
}

/// The key under which a client says something of itself, by the folder of its fleet.
pub(super) fn client_key(folder: &str) -> String {
    format!("{folder}client")
}

/// The folder of a fleet.
pub(super) fn folder_of(fleet: &str) -> String {
    format!("{}{fleet}/", own_keys::FLEETS)
}

/// What is stored under the key of a client; `None` when nothing is, or nothing that a client has written.
pub(super) async fn said_by_client(storage: &StorageClient, key: &str) -> Result<Option<ClientState>> {
    match storage.storage().get_within(storage.bucket(), key, LONGEST_WORDS).await {
        Ok(bytes) => Ok(ClientState::decode(&bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PayloadTooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a job of a fleet goes on without its client. Signatures are not checked: another program that can write there
/// could remove the manifests as well.
pub(super) async fn has_detached_job(storage: &StorageClient, fleet: &str) -> Result<bool> {
    let (bucket, folder) = (storage.bucket(), format!("{}{JOBS}", folder_of(fleet)));
    for key in insist(|| storage.list_keys(bucket, &folder)).await? {
        let signed = match insist(|| storage.storage().get_within(bucket, &key, LONGEST_POST)).await {
            Ok(signed) => signed,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if JobManifest::decode(&unchecked(&signed).unwrap_or_default())?.detached {
            return Ok(true);
        }
    }
    Ok(false)
}
