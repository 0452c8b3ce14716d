//! [`BackendDescriptor`]: what a backend crate registers, and [`BackendOptions`]: the input of a new backend.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;

use super::{Capabilities, ComputeBackend};
use crate::{
    config::{Config, Key, keys},
    error::Result,
    protocol::{Program, Secrets},
    storage::{Locator, StorageClient},
};

/// The future of a backend that is being connected to.
pub type Connecting = BoxFuture<'static, Result<Arc<dyn ComputeBackend>>>;

/// What a backend crate submits to the registry, so that programs that link the crate have the backend.
pub struct BackendDescriptor {
    /// The backend's one word: its scheme, feature and section of the configuration.
    pub scheme: &'static str,
    /// A line that describes the backend, for lists.
    pub summary: &'static str,
    /// The crate that the backend comes from.
    pub package: &'static str,
    /// The version of that crate.
    pub version: &'static str,
    /// The keys of the backend's section, without those of [`keys::BACKEND`].
    pub keys: &'static [Key],
    /// The capabilities under a configuration, without a connection to the platform. This reads the whole section: an
    /// error about a value belongs here, with the context `key`, so that `config check` finds it.
    pub capabilities: fn(&Config) -> Result<Capabilities>,
    /// Makes the backend and connects it to its platform.
    pub connect: fn(BackendOptions) -> Connecting,
}

impl BackendDescriptor {
    /// All keys of its section: its own, and those of [`keys::BACKEND`]. A key that the backend lists itself, because it
    /// has no effect there or may not be set, is as the backend says.
    #[must_use]
    pub fn section_keys(&self) -> Vec<Key> {
        let is_own = |key: &&Key| self.keys.iter().any(|own| own.name == key.name);
        self.keys.iter().chain(keys::BACKEND.iter().filter(|key| !is_own(key))).copied().collect()
    }
}

impl fmt::Debug for BackendDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendDescriptor")
            .field("scheme", &self.scheme)
            .field("package", &self.package)
            .finish_non_exhaustive()
    }
}

inventory::collect!(BackendDescriptor);

/// The input of a new backend.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackendOptions {
    /// The configuration of the executor.
    pub config: Config,
    /// The program that plays the sub-worker: the user's program.
    pub program: Program,
    /// The number of sub-workers in one worker.
    pub worker_processes: usize,
    /// The largest number of live workers at once.
    pub max_workers: usize,
    /// The credentials of the storage, for workers that can be sent them over a channel that no other process
    /// can read. They are never part of a payload.
    pub secrets: Option<Secrets>,
    /// The storage of jobs, and its locator for workers; `None` in a plugin.
    pub storage: Option<(StorageClient, Locator)>,
}

impl BackendOptions {
    /// Options without storage and secrets.
    #[must_use]
    pub fn new(config: Config, program: Program, worker_processes: usize, max_workers: usize) -> Self {
        Self { config, program, worker_processes, max_workers, secrets: None, storage: None }
    }

    /// Adds the storage of jobs.
    #[must_use]
    pub fn with_storage(mut self, storage: StorageClient, locator: Locator) -> Self {
        self.storage = Some((storage, locator));
        self
    }

    /// Adds the credentials of the storage.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Option<Secrets>) -> Self {
        self.secrets = secrets;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyStatus;

    #[test]
    fn a_section_has_the_keys_of_every_backend_and_the_backend_may_refuse_one() {
        const OWN: &[Key] = &[
            Key::used("command", "what workers are started through"),
            Key::refused("max_workers", "there is one machine", "how many workers may live at once"),
        ];
        let descriptor = BackendDescriptor {
            scheme: "x",
            summary: "",
            package: "",
            version: "",
            keys: OWN,
            capabilities: |_| Ok(Capabilities::local(1)),
            connect: |_| unreachable!("no backend is made"),
        };
        let keys = descriptor.section_keys();
        let names: Vec<_> = keys.iter().map(|key| key.name).collect();
        assert_eq!(names, ["command", "max_workers", "worker_processes", "capabilities"]);
        assert!(matches!(keys[1].status, KeyStatus::Refused(_)), "{keys:?}");
        // A found file may say how many, and never what the platform is taken for.
        assert!(keys[2].found_file_may_set && !keys[3].found_file_may_set);
    }
}
