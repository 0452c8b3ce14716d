//! [`Unused`]: programs and histories that are kept for later jobs, and that no job has used for long.

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
        own_keys::{HISTORY, PROGRAMS, program_of},
    },
};

/// A stored program, or the stored history of a function, that no job has used for long.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unused {
    /// The prefix of the keys of its objects.
    pub name: String,
    /// Whether this is a program; otherwise it is a history.
    pub is_program: bool,
    /// How long ago the program or history was last used, by the clock of the storage.
    pub since: Duration,
    last_use: SystemTime,
    storage: StorageClient,
}

impl Unused {
    /// Removes the program or history, unless it was used meanwhile. Returns whether it was removed. A client
    /// that needs a removed program stores it again.
    ///
    /// # Errors
    /// When the storage does not allow it.
    pub fn remove(&self) -> Result<bool> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        runtime::driver().block_on(async {
            let mut found = objects(&self.storage, &self.name).await?;
            found.retain(|object| name_of(object, self.is_program) == self.name);
            if found.iter().any(|object| object.modified > self.last_use) {
                return Ok(false);
            }
            let keys: Vec<_> = found.into_iter().map(|object| object.key).collect();
            insist(|| storage.delete_many(bucket, keys.clone())).await.map(|()| true)
        })
    }
}

impl StoredJobs {
    /// Programs and histories that no job has used for at least `age`, by the clock of the storage. Jobs of
    /// all users count, because programs with the same bytes are stored once.
    ///
    /// # Errors
    /// When the storage cannot be read, or its clock cannot be read.
    pub fn unused(&self, age: Duration) -> Result<Vec<Unused>> {
        runtime::driver().block_on(self.not_used_for(age))
    }

    pub(super) async fn not_used_for(&self, age: Duration) -> Result<Vec<Unused>> {
        let mut last_uses: BTreeMap<(String, bool), SystemTime> = BTreeMap::new();
        for (folder, is_program) in [(PROGRAMS, true), (HISTORY, false)] {
            for object in objects(&self.storage, folder).await? {
                let last = last_uses.entry((name_of(&object, is_program).to_owned(), is_program));
                let last = last.or_insert(object.modified);
                *last = object.modified.max(*last);
            }
        }
        if last_uses.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.storage_time().await?;
        let unused = last_uses.into_iter().filter_map(|((name, is_program), last_use)| {
            let since = now.duration_since(last_use).ok().filter(|since| *since >= age)?;
            Some(Unused { name, is_program, since, last_use, storage: self.storage.clone() })
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

/// The name that all objects of one program share (its files, and the note of its last use); for a history,
/// its key.
fn name_of(object: &ObjectMeta, is_program: bool) -> &str {
    if is_program { program_of(&object.key) } else { &object.key }
}
