//! [`Subject`]: the storage under trial, and the part of a bucket that belongs to one trial.

use std::{fmt::Debug, sync::Arc};

use futures_util::TryStreamExt;
use lithops_core::{
    bytes::Bytes,
    error::{ErrorKind, Result},
    storage::{PutMode, Storage},
};

/// A storage, and where in it a trial may do what it likes.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    /// The bucket.
    pub bucket: String,
    prefix: String,
}

impl Subject {
    pub(super) fn new(storage: Arc<dyn Storage>, bucket: String, trial: &str) -> Self {
        Self { storage, bucket, prefix: format!("lithops-conformance/{trial}/") }
    }

    /// The whole key of what the trial calls `key`.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) async fn put(&self, key: &str, content: impl Into<Bytes>) {
        self.try_put(key, content, PutMode::Overwrite)
            .await
            .unwrap_or_else(|error| panic!("{key}: {error:?}"));
    }

    pub(super) async fn try_put(&self, key: &str, content: impl Into<Bytes>, mode: PutMode) -> Result<()> {
        self.storage.put(&self.bucket, &self.key(key), content.into(), mode).await
    }

    pub(super) async fn get(&self, key: &str) -> Result<Bytes> {
        self.storage.get(&self.bucket, &self.key(key)).await
    }

    pub(super) async fn range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Bytes> {
        self.storage.get_range(&self.bucket, &self.key(key), range).await
    }

    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed: Result<Vec<_>> = self.storage.list(&self.bucket, &self.key(prefix)).try_collect().await;
        let listed = listed.unwrap_or_else(|error| panic!("{prefix}: {error:?}"));
        listed
            .into_iter()
            .map(|object| object.key.strip_prefix(&self.prefix).unwrap_or(&object.key).to_owned())
            .collect()
    }

    /// Removes what an earlier run has left.
    pub(super) async fn clean(&self) -> Result<()> {
        let listed: Vec<_> = self.storage.list(&self.bucket, &self.prefix).try_collect().await?;
        let keys = listed.into_iter().map(|object| object.key).collect();
        self.storage.delete_many(&self.bucket, keys).await
    }
}

/// The kind of an error, which is one line.
#[track_caller]
pub(super) fn kind<T: Debug>(outcome: Result<T>) -> ErrorKind {
    match outcome {
        Ok(value) => panic!("an error was expected, and not {value:?}"),
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "an error is one line: {error}");
            error.kind()
        }
    }
}
