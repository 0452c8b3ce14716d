//! [`Unused`]: programs and histories that are kept for later jobs, and that no job has used for long; and what is left of
//! fleets whose client has ended without removing it.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::TryStreamExt;

use super::stored_jobs::StoredJobs;
use crate::{
    error::Result,
    runtime,
    storage::{
        ObjectMeta, StorageClient, insist,
        own_keys::{FLEETS, HISTORY, PROGRAMS, program_of},
    },
};

/// What an [`Unused`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum UnusedKind {
    /// A stored program.
    Program,
    /// How long the calls of a function took.
    History,
    /// What is left of a fleet whose client has ended without removing it.
    Fleet,
}

/// A stored program, the stored history of a function, or the rest of a fleet, that nothing has used for long.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unused {
    /// The prefix of the keys of its objects.
    pub name: String,
    /// What this is.
    pub kind: UnusedKind,
    /// How long ago it was last used, by the clock of the storage.
    pub since: Duration,
    last_use: SystemTime,
    storage: StorageClient,
}

impl Unused {
    /// Removes it, unless it was used meanwhile. Returns whether it was removed. A client
    /// that needs a removed program stores it again.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub fn remove(&self) -> Result<bool> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        runtime::driver().block_on(async {
            let mut found = objects(&self.storage, &self.name).await?;
            found.retain(|object| name_of(object, self.kind) == self.name);
            if found.iter().any(|object| object.modified > self.last_use) {
                return Ok(false);
            }
            let keys: Vec<_> = found.into_iter().map(|object| object.key).collect();
            insist(|| storage.delete_many(bucket, keys.clone())).await.map(|()| true)
        })
    }
}

impl StoredJobs {
    /// Programs, histories and fleets that nothing has used for at least `age`, by the clock of the storage. Jobs of
    /// all users count, because programs with the same bytes are stored once. The client of a fleet writes to it every
    /// few seconds while it lives. A fleet with a job is left alone: the job may be a detached one.
    ///
    /// # Errors
    /// When the storage cannot be read, or its clock cannot be read.
    pub fn unused(&self, age: Duration) -> Result<Vec<Unused>> {
        runtime::driver().block_on(self.not_used_for(age))
    }

    pub(super) async fn not_used_for(&self, age: Duration) -> Result<Vec<Unused>> {
        let mut last_uses: BTreeMap<(String, UnusedKind), SystemTime> = BTreeMap::new();
        let mut busy = Vec::new();
        let folders =
            [(PROGRAMS, UnusedKind::Program), (HISTORY, UnusedKind::History), (FLEETS, UnusedKind::Fleet)];
        for (folder, kind) in folders {
            for object in objects(&self.storage, folder).await? {
                let last = last_uses.entry((name_of(&object, kind).to_owned(), kind));
                let last = last.or_insert(object.modified);
                *last = object.modified.max(*last);
                if kind == UnusedKind::Fleet && object.key.contains("/jobs/") {
                    busy.push(name_of(&object, kind).to_owned());
                }
            }
        }
        busy.into_iter().for_each(|fleet| {
            last_uses.remove(&(fleet, UnusedKind::Fleet));
        });
        if last_uses.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.storage_time().await?;
        let unused = last_uses.into_iter().filter_map(|((name, kind), last_use)| {
            let since = now.duration_since(last_use).ok().filter(|since| *since >= age)?;
            Some(Unused { name, kind, since, last_use, storage: self.storage.clone() })
        });
        Ok(unused.collect())
    }
}

/// The objects with a prefix, without those that unfinished puts have left.
async fn objects(storage: &StorageClient, prefix: &str) -> Result<Vec<ObjectMeta>> {
    let mut found =
        insist(|| storage.storage().list(storage.bucket(), prefix).try_collect::<Vec<_>>()).await?;
    found.retain(|object| !storage.storage().is_unfinished(&object.key));
    Ok(found)
}

/// The name that all objects of one thing share: those of a program are its files and the note of its last use, and a
/// fleet is a folder. A history is one object.
fn name_of(object: &ObjectMeta, kind: UnusedKind) -> &str {
    let key = &object.key;
    match kind {
        UnusedKind::Program => program_of(key),
        UnusedKind::History => key,
        UnusedKind::Fleet => {
            let end = key[FLEETS.len()..].find('/').map_or(key.len(), |end| FLEETS.len() + end + 1);
            &key[..end]
        }
    }
}
