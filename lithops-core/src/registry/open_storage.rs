//! [`StorageClient::open`]: the storage of a configuration. Which one that is depends on the backend, whose workers must
//! be able to open it too.

use std::path::PathBuf;

use super::Registry;
use crate::{
    config::{Config, Environment, Origin, Sources, Value},
    error::Result,
    storage::{self, Locator, StorageClient},
};

impl StorageClient {
    /// Opens the storage of a configuration.
    ///
    /// # Errors
    /// This program lacks the storage, its section is wrong, or it cannot be opened.
    pub fn open(config: &Config) -> Result<(Self, Locator)> {
        let descriptor = storage::descriptor(&Registry::of(config)?.storage_of(config)?)?;
        let locator = (descriptor.locate)(config)?;
        storage::give(&locator, (descriptor.credentials)(config)?);
        Ok((Self::connect(&locator)?, locator))
    }

    /// Opens the storage of the configuration of a file, or of the one that is found; `storage` names another than it
    /// does.
    ///
    /// # Errors
    /// As for [`open`](Self::open); or the configuration is wrong.
    pub fn configured(file: Option<PathBuf>, storage: Option<String>) -> Result<(Self, Locator)> {
        let sources = Sources { file, ..Sources::default() };
        let mut config = Config::load(&sources, &Environment::from_process())?;
        if let Some(storage) = storage {
            config.set("lithops", "storage", Value::from(storage), Origin::Builder("storage"));
        }
        Self::open(&config)
    }
}
