//! [`Survey`]: what there is of all jobs of a storage, found in one look, whatever is wrong with some of it.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::SystemTime,
};

use futures_util::StreamExt;

use super::{Journal, keys};
use crate::{
    error::Error,
    id::JobId,
    storage::{ObjectMeta, StorageClient, own_keys::JOBS},
};

/// What there is of the jobs of a storage.
#[derive(Debug, Default)]
pub struct Survey {
    /// What there is of each, oldest first.
    pub jobs: BTreeMap<JobId, Traces>,
    /// What unfinished puts have left.
    pub unfinished: Vec<ObjectMeta>,
    /// What cannot be looked at.
    pub unreadable: Vec<Error>,
}

/// What there is of a job.
#[derive(Debug, Clone)]
pub struct Traces {
    /// When anything of it was last written, by the storage's clock.
    pub changed: SystemTime,
    /// Another as soon as anything of it is written, changed or removed.
    pub mark: u64,
    /// Whether workers have been at it that nobody feeds.
    pub has_board: bool,
    /// Whether all of it could be looked at.
    pub is_whole: bool,
}

impl Survey {
    /// Looks at all jobs.
    pub async fn of(storage: &StorageClient) -> Self {
        let folder = JOBS;
        let mut survey = Self::default();
        let mut found = storage.storage().survey(storage.bucket(), folder);
        let job_of =
            |key: &str| -> Option<JobId> { key.get(folder.len()..)?.split('/').next()?.parse().ok() };
        let mut partly = Vec::new();
        while let Some(object) = found.next().await {
            match object {
                Ok(object) => {
                    if let Some(job) = job_of(&object.key) {
                        survey.note(job, &object, folder);
                    }
                    if storage.storage().is_unfinished(&object.key) {
                        survey.unfinished.push(object);
                    }
                }
                Err(error) => {
                    let key = error.context().find(|(name, _)| *name == "key").map(|(_, key)| key);
                    partly.extend(key.and_then(job_of));
                    survey.unreadable.push(error);
                }
            }
        }
        for job in partly {
            if let Some(traces) = survey.jobs.get_mut(&job) {
                traces.is_whole = false;
            }
        }
        survey
    }

    fn note(&mut self, job: JobId, object: &ObjectMeta, folder: &str) {
        let traces = self.jobs.entry(job).or_insert_with(|| Traces {
            changed: object.modified,
            mark: 0,
            has_board: false,
            is_whole: true,
        });
        traces.changed = traces.changed.max(object.modified);
        let mut hasher = DefaultHasher::new();
        (traces.mark, &object.key, object.size, object.modified, &object.etag).hash(&mut hasher);
        traces.mark = hasher.finish();
        let below = object.key.get(folder.len() + keys::JOB_LEN..).unwrap_or_default();
        traces.has_board |= below.starts_with("board/");
    }
}

impl Journal {
    /// The clients that read the job, as their marks say; `None` where nobody can tell who it is.
    pub(crate) async fn readers(&self) -> crate::error::Result<Vec<Option<super::Owner>>> {
        let mut readers = Vec::new();
        for key in self.listed(&self.keys.readers()).await? {
            match self.owner_at(&key).await {
                Ok(Some(reader)) => readers.push(Some(reader)),
                Ok(None) => {}
                Err(error) if super::is_damage(&error) => readers.push(None),
                Err(error) => return Err(error),
            }
        }
        Ok(readers)
    }
}
