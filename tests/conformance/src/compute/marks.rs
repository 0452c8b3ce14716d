//! [`Marks`]: how calls and trials meet: small objects in the storage.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use lithops_core::{
    error::{ErrorKind, Result},
    storage::StorageClient,
};

/// A folder of marks in the storage.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    storage: StorageClient,
    folder: String,
}

impl Marks {
    pub(super) fn new(storage: StorageClient, folder: String) -> Self {
        Self { storage, folder }
    }

    /// A folder of this trial alone.
    pub(super) fn anew(storage: StorageClient) -> Self {
        Self { storage, folder: format!("lithops-conformance/marks/{}/", uuid::Uuid::now_v7()) }
    }

    /// Its name, for calls.
    pub(super) fn folder(&self) -> String {
        self.folder.clone()
    }

    pub(super) async fn set(&self, name: &str) -> Result<()> {
        let key = format!("{}{name}", self.folder);
        self.storage.put_object(self.storage.bucket(), &key, "x").await
    }

    pub(super) async fn has(&self, name: &str) -> Result<bool> {
        let key = format!("{}{name}", self.folder);
        match self.storage.head_object(self.storage.bucket(), &key).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names of all marks. A call that is killed while it sets its mark may leave an unfinished file: it is none.
    pub(super) async fn all(&self) -> Result<Vec<String>> {
        let storage = self.storage.storage();
        let listed: Vec<_> = storage.list(self.storage.bucket(), &self.folder).try_collect().await?;
        let marks = listed.into_iter().filter(|object| !storage.is_unfinished(&object.key));
        Ok(marks.map(|object| object.key[self.folder.len()..].to_owned()).collect())
    }

    /// Waits until this many marks begin with the text.
    pub(super) async fn wait_for(&self, beginning: &str, count: usize, patience: Duration) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let mut all = self.all().await.unwrap_or_else(|error| panic!("the marks: {error:?}"));
            all.retain(|name| name.starts_with(beginning));
            if all.len() >= count {
                return all;
            }
            let found = all.len();
            assert!(
                begun.elapsed() < patience,
                "{count} calls were to begin within {patience:?}, and {found} have"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Removes the folder with all marks, and with what killed calls have left unfinished in it.
    pub(super) async fn clear(&self) -> Result<()> {
        self.storage.storage().remove_folder(self.storage.bucket(), &self.folder).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lithops_core::storage::FileStorage;

    use super::*;

    #[tokio::test]
    async fn what_a_killed_call_leaves_unfinished_is_no_mark_and_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        let storage = StorageClient::new(Arc::new(FileStorage::new(root.path()).unwrap()), "bucket");
        let marks = Marks::anew(storage);
        marks.set("ended-4").await.unwrap();
        let folder = root.path().join("bucket").join(marks.folder());
        std::fs::write(folder.join("ended-5#1"), "").unwrap();
        assert_eq!(marks.all().await.unwrap(), ["ended-4"]);
        marks.clear().await.unwrap();
        assert!(!folder.exists());
    }
}
