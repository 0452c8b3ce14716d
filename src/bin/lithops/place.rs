//! [`Place`]: the options that choose the storage of a command.

use std::path::PathBuf;

use clap::Args;
use lithops::{StorageClient, jobs::StoredJobs};

/// The storage that a command uses.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The storage, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) storage: Option<String>,

    /// The configuration file, if not the one that is found.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Place {
    /// The durable jobs in that storage.
    pub(crate) fn jobs(self) -> lithops::Result<StoredJobs> {
        StoredJobs::open(self.config, self.storage)
    }

    /// A client of that storage.
    pub(crate) fn storage(self) -> lithops::Result<StorageClient> {
        StorageClient::configured(self.config, self.storage).map(|(client, _)| client)
    }
}
