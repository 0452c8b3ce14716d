//! [`Connected`]: the backend of a configuration without an executor, for commands that manage runtimes or
//! diagnose.

use std::sync::Arc;

use super::{Registry, config_check};
use crate::{
    compute::{BackendOptions, Check, ComputeBackend, Severity},
    config::{self, Config},
    error::{Error, Result},
    process,
    protocol::Secrets,
    storage::{self, Locator, StorageClient, openness},
};

/// The backend of a configuration, and its storage, or the error if that cannot be opened.
#[derive(Debug)]
pub struct Connected {
    /// The connected backend.
    pub backend: Arc<dyn ComputeBackend>,
    storage: Result<(StorageClient, Locator)>,
    config: Config,
    registry: Registry,
}

impl Connected {
    /// Connects to the backend that a configuration names.
    ///
    /// # Errors
    /// The backend does not exist, its section is wrong, or it cannot be reached.
    pub async fn to(config: Config) -> Result<Self> {
        let registry = Registry::of(&config)?;
        let descriptor = registry.find(config.backend())?;
        let capabilities = descriptor.capabilities(&config)?;
        let section = config.section(descriptor.scheme);
        let max_workers = section.positive("max_workers")?.unwrap_or(capabilities.default_max_workers);
        let mut options = BackendOptions::new(
            config.clone(),
            process::program()?,
            capabilities.default_worker_processes,
            max_workers,
        );
        let storage = match StorageClient::open(&config) {
            Ok((storage, locator)) => {
                let credentials = storage::descriptor(&registry.storage_of(&config)?)?.credentials;
                let secrets = Secrets::of(&locator, &credentials(&config)?);
                options = options.with_storage(storage.clone(), locator.clone()).with_secrets(secrets);
                Ok((storage, locator))
            }
            Err(error) => Err(error),
        };
        Ok(Self { backend: descriptor.connect(options).await?, storage, config, registry })
    }

    /// The storage of the configuration.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn storage(&self) -> Result<(&StorageClient, &Locator)> {
        match &self.storage {
            Ok((storage, locator)) => Ok((storage, locator)),
            Err(error) => Err(error.again()),
        }
    }

    /// Checks the configuration, the backend and the storage. The checks say what is fine, and what would
    /// keep jobs from running.
    ///
    /// # Errors
    /// When the backend or storage does not exist.
    pub async fn check(&self) -> Result<Vec<Check>> {
        let mut found = Vec::new();
        for finding in config_check::findings(&self.config, &self.registry)? {
            let severity = match finding.severity {
                config::FindingSeverity::Error => Severity::Error,
                config::FindingSeverity::Note => Severity::Warning,
            };
            found.push(Check { finding: finding.message, severity, remedy: finding.hint });
        }
        found.extend(self.backend.check().await);
        let looked = match &self.storage {
            Ok((storage, locator)) => {
                if let Some(finding) = openness(locator) {
                    let remedy =
                        "inputs, outcomes and logs of jobs lie there: `chmod 700` makes it yours alone";
                    found.push(Check { finding, severity: Severity::Warning, remedy: Some(remedy.into()) });
                }
                let (bucket, scheme) = (storage.bucket(), storage.info().scheme);
                // Listing a prefix shows that the bucket exists and may be read, without writing to it.
                let listed = storage.list_keys(bucket, "lithops.doctor").await;
                listed.map(|_| format!("the storage `{scheme}` answers for bucket `{bucket}`"))
            }
            Err(error) => Err(error.again()),
        };
        found.push(match looked {
            Ok(finding) => Check { finding, severity: Severity::Fine, remedy: None },
            Err(error) => wrong(&error),
        });
        Ok(found)
    }
}

fn wrong(error: &Error) -> Check {
    Check {
        finding: error.message().to_owned(),
        severity: Severity::Error,
        remedy: error.hint().map(str::to_owned),
    }
}
