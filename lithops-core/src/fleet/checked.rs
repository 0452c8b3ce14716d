//! [`CheckedPlace`]: what a worker has found that only tries whether it could serve, and where it stores that.

use std::fmt;

use serde::Deserialize;

use crate::{
    error::{Error, ErrorKind, Result},
    storage::{StorageClient, own_keys::FLEETS},
};

/// The folder of what the workers of a fleet have found, by name.
#[must_use]
pub fn checked_prefix(fleet: &str) -> String {
    format!("{FLEETS}{fleet}/checked/")
}

/// The place that a worker has found itself in, once it has used the storage there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CheckedPlace {
    /// The version of the worker.
    pub lithops: String,
    /// The kind of its processor.
    pub machine: String,
    /// Its C library, with the version; `None` for another one than glibc.
    pub c_library: Option<String>,
    /// The CPUs that it may use.
    pub cpus: Option<usize>,
    /// The limit of its memory. A control group without a limit says a number that no machine has.
    pub memory_limit_bytes: Option<u64>,
}

impl CheckedPlace {
    /// What a worker of the fleet has stored, with the worker's name; `None` as long as none has.
    ///
    /// # Errors
    /// When the storage fails, or holds something else there.
    pub async fn find(storage: &StorageClient, fleet: &str) -> Result<Option<(String, Self)>> {
        let prefix = checked_prefix(fleet);
        let Some(key) = storage.list_keys(storage.bucket(), &prefix).await?.into_iter().next() else {
            return Ok(None);
        };
        let bytes = storage.get_object(storage.bucket(), &key).await?;
        let place = serde_json::from_slice(&bytes).map_err(|error| {
            let problem = format!("what a worker has stored in `{key}` cannot be read: {error}");
            Error::new(ErrorKind::Damaged, problem)
        })?;
        Ok(Some((key[prefix.len()..].to_owned(), place)))
    }

    /// Removes what workers of the fleet have stored.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn forget(storage: &StorageClient, fleet: &str) -> Result<()> {
        let left = storage.list_keys(storage.bucket(), &format!("{FLEETS}{fleet}/")).await?;
        if left.is_empty() { Ok(()) } else { storage.delete_objects(storage.bucket(), left).await }
    }

    /// The limit of its memory in MiB, where it has one.
    #[must_use]
    pub fn memory_limit_mib(&self) -> Option<u64> {
        self.memory_limit_bytes.filter(|bytes| bytes >> 50 == 0).map(|bytes| bytes >> 20)
    }
}

impl fmt::Display for CheckedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lithops, machine, c_library, cpus, .. } = self;
        let library = c_library.as_deref().unwrap_or("another C library than glibc");
        write!(f, "lithops {lithops}, {machine}, {library}, ")?;
        match cpus {
            Some(cpus) => write!(f, "{cpus} CPUs")?,
            None => f.write_str("? CPUs")?,
        }
        match self.memory_limit_mib() {
            Some(memory) => write!(f, ", {memory} MiB"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::MemoryStorage;

    #[tokio::test]
    async fn what_a_worker_has_found_is_read_and_forgotten() {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        assert_eq!(CheckedPlace::find(&storage, "f").await.expect("it lists"), None);
        let found = r#"{"lithops": "0.1.0", "machine": "x86_64", "c_library": "glibc 2.36", "cpus": 2,
            "memory_limit_bytes": 268435456, "storage": "minio", "bucket": "b", "error": null}"#;
        let put = |key: &str, text: &str| {
            let (key, text) = (key.to_owned(), text.to_owned());
            let storage = storage.clone();
            async move { storage.put_object("bucket", &key, text).await.expect("it is stored") }
        };
        put(&format!("{}w", checked_prefix("f")), found).await;
        put(&format!("{}w", checked_prefix("g")), "no JSON").await;
        let (worker, place) =
            CheckedPlace::find(&storage, "f").await.expect("it reads").expect("it was stored");
        assert_eq!(worker, "w");
        assert_eq!(place.to_string(), "lithops 0.1.0, x86_64, glibc 2.36, 2 CPUs, 256 MiB");
        let unlimited = CheckedPlace { memory_limit_bytes: Some(u64::MAX >> 1), cpus: None, ..place };
        assert_eq!(unlimited.to_string(), "lithops 0.1.0, x86_64, glibc 2.36, ? CPUs");
        assert!(CheckedPlace::find(&storage, "g").await.is_err(), "it is no place");
        CheckedPlace::forget(&storage, "f").await.expect("it is removed");
        assert_eq!(CheckedPlace::find(&storage, "f").await.expect("it lists"), None);
        assert!(CheckedPlace::find(&storage, "g").await.is_err(), "another fleet's is left");
    }
}
