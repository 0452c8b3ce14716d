//! [`Survey`]: what is stored of all jobs, found with one listing that errors do not end.

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

/// What a storage has of all jobs.
#[derive(Debug, Default)]
pub struct Survey {
    /// What is stored of each job, oldest job first.
    pub jobs: BTreeMap<JobId, Traces>,
    /// What interrupted puts have left behind.
    pub unfinished: Vec<ObjectMeta>,
    /// The errors of objects or folders that could not be listed.
    pub unreadable: Vec<Error>,
}

/// What is stored of one job.
#[derive(Debug, Clone)]
pub struct Traces {
    /// When an object of the job was last written, by the storage's clock.
    pub changed: SystemTime,
    /// A hash of all objects of the job. It differs as soon as one of them is written, changed or removed.
    pub mark: u64,
    /// Whether the job has a board: fleet workers have worked at it.
    pub has_board: bool,
    /// Whether all objects of the job could be listed.
    pub is_whole: bool,
}

impl Survey {
    /// Lists all jobs of a storage.
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

    /// Adds an object to what is known of its job.
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
    /// The clients that have marked themselves as readers of the job; `None` for a mark that cannot
    /// be decoded.
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
