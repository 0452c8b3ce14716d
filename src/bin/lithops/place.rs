//! [`Place`]: which storage a command looks at.

use std::path::PathBuf;

use clap::Args;
use lithops::{StorageClient, jobs::StoredJobs};

/// Where a command looks.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The storage, if not the configured one.
    #[arg(short, long, value_name = "NAME")]
    storage: Option<String>,

    /// The configuration file, if not the one that is found.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The durable jobs there.
    pub(crate) fn jobs(self) -> lithops::Result<StoredJobs> {
        StoredJobs::open(self.config, self.storage)
    }

    /// The storage itself.
    pub(crate) fn storage(self) -> lithops::Result<StorageClient> {
        StorageClient::configured(self.config, self.storage).map(|(client, _)| client)
    }
}
