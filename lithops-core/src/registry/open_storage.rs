//! [`StorageClient::open`]: opens the storage of a configuration. The choice depends on the backend, whose
//! workers must be able to open the storage too.

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
    /// This program lacks the storage, the section of the storage is wrong, or the storage cannot be opened.
    pub fn open(config: &Config) -> Result<(Self, Locator)> {
        let descriptor = storage::descriptor(&Registry::of(config)?.storage_of(config)?)?;
        let locator = (descriptor.locate)(config)?;
        storage::give(&locator, (descriptor.credentials)(config)?);
        Ok((Self::connect(&locator)?, locator))
    }

    /// Opens the storage of the configuration in `file`, or in the file that is found. `storage` names
    /// another storage than the configuration does.
    ///
    /// # Errors
    /// As for [`open`](Self::open); or the configuration cannot be loaded.
    pub fn configured(file: Option<PathBuf>, storage: Option<String>) -> Result<(Self, Locator)> {
        let sources = Sources { file, ..Sources::default() };
        let mut config = Config::load(&sources, &Environment::from_process())?;
        if let Some(storage) = storage {
            config.set("lithops", "storage", Value::from(storage), Origin::Builder("storage"));
        }
        Self::open(&config)
    }
}
