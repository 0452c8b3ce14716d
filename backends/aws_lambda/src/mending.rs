//! [`Mending`]: a client stores its program again when an instance has found it damaged in the storage.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use lithops_core::{
    artifact::{Artifact, Machine, StoredProgram},
    compute::ExitReason,
    error::{Error, ErrorKind, Result},
    storage::StorageClient,
};
use tokio::sync::Mutex;

use crate::package::target;

/// A program in the storage, and the file to store it from again.
#[derive(Debug, Clone)]
pub(crate) struct Mending {
    path: PathBuf,
    machine: Machine,
    shipped: StoredProgram,
    storage: StorageClient,
    /// The number of the first activation that was begun after the program was stored again.
    again: Arc<Mutex<Option<u64>>>,
    /// When it was last noted that it is used.
    noted: Arc<std::sync::Mutex<Instant>>,
}

/// How often it is noted that a program is used: `lithops clean` removes those that were not for days.
const NOTED_EVERY: Duration = Duration::from_secs(12 * 3600);

impl Mending {
    pub(crate) fn new(
        path: PathBuf,
        machine: Machine,
        shipped: StoredProgram,
        storage: StorageClient,
    ) -> Self {
        let noted = Arc::new(std::sync::Mutex::new(Instant::now()));
        Self { path, machine, shipped, storage, again: Arc::default(), noted }
    }

    /// Notes now and then that the program is used, in the background.
    pub(crate) fn in_use(&self) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.elapsed() < NOTED_EVERY {
            return;
        }
        *noted = Instant::now();
        let (shipped, storage) = (self.shipped.clone(), self.storage.clone());
        tokio::spawn(async move {
            // Should that fail, and the program be removed, it is stored again when an instance misses it.
            let _ = shipped.note_use(&storage).await;
        });
    }

    /// The end of activation `number`, whose instance has found the program damaged. `begun` gives how many activations
    /// have been begun until now.
    pub(crate) async fn mend(&self, words: String, number: u64, begun: impl FnOnce() -> u64) -> ExitReason {
        let mut again = self.again.lock().await;
        if again.is_none() {
            if let Err(error) = self.put_again().await {
                return ExitReason::Refused(
                    self.told(&words, &format!("it cannot be stored again: {error}")),
                );
            }
            *again = Some(begun());
        }
        match again.is_some_and(|first| number >= first) {
            false => ExitReason::Throttled(Duration::ZERO),
            true => ExitReason::Refused(self.told(&words, "it was stored again, and is damaged again")),
        }
    }

    async fn put_again(&self) -> Result<()> {
        let artifact = Artifact::read(&self.path, &target(self.machine)).await?;
        if artifact.digest != self.shipped.digest {
            let problem = format!("`{}` is another program by now", self.path.display());
            return Err(Error::new(ErrorKind::NotFound, problem).with_hint("start the job again"));
        }
        tracing::warn!(
            key = self.shipped.key(),
            "the program is damaged in the storage, and is stored again"
        );
        self.shipped.put_again(&artifact, &self.storage).await
    }

    fn told(&self, words: &str, but: &str) -> String {
        let (bucket, key) = (self.storage.bucket(), self.shipped.key());
        format!(
            "the program `{key}` in bucket `{bucket}` is damaged or gone, and {but}; look who writes there, remove it \
             with `lithops storage delete {bucket} {key}`, and start the job again ({words})"
        )
    }
}

#[cfg(test)]
mod tests {
    use lithops_core::{
        artifact::{Glibc, Target},
        config::{Config, Environment, Sources},
    };

    use super::*;

    #[tokio::test]
    async fn it_is_stored_again_once_and_named_when_that_does_not_help() {
        let sources = Sources { yaml: Some("lithops: {storage: memory}".to_owned()), file: None };
        let config = Config::load(&sources, &Environment::new("/")).expect("it is right");
        let (storage, _) = StorageClient::open(&config).expect("a storage");
        let path = PathBuf::from("/proc/self/exe");
        let here = Target { machine: Machine::here(), glibc: Glibc(2, 34), name: "here" };
        // This test may be built for a newer system than that of instances: then there is nothing to show.
        let artifact =
            Artifact::read(&path, &Target { glibc: Glibc(99, 0), ..here }).await.expect("a program");
        let shipped = StoredProgram::of(&artifact);
        let mending = Mending::new(path, Machine::here(), shipped.clone(), storage.clone());
        let first = mending.mend("digest".to_owned(), 3, || 10).await;
        if Artifact::read(std::path::Path::new("/proc/self/exe"), &target(Machine::here())).await.is_err() {
            assert!(matches!(&first, ExitReason::Refused(words) if words.contains("cannot be stored again")));
            return;
        }
        assert_eq!(first, ExitReason::Throttled(Duration::ZERO));
        storage.head_object(storage.bucket(), shipped.key()).await.expect("it is stored");
        // Other activations were under way; the next one fetches the program that was stored again.
        assert_eq!(mending.mend("digest".to_owned(), 9, || 20).await, ExitReason::Throttled(Duration::ZERO));
        let ExitReason::Refused(words) = mending.mend("digest".to_owned(), 10, || 20).await else {
            panic!("it did not help")
        };
        assert!(words.contains(shipped.key()) && words.contains("lithops storage delete"), "{words}");
    }
}
