//! [`Config::load`]: finds and reads the configuration. A file that was only found in the working directory
//! may set harmless keys only; the backends and storages of this program say which keys are harmless.

use super::trust;
use crate::{
    config::{Config, Environment, Sources},
    error::Result,
};

impl Config {
    /// Finds and reads the configuration.
    ///
    /// The first of these that exists is used: what `sources` names, the text in `LITHOPS_CONFIG`, the file
    /// named by `LITHOPS_CONFIG_FILE`, `./.lithops_config`, `~/.lithops/config`, `/etc/lithops/config`. Files
    /// are not merged. If none exists, the configuration is empty, which means localhost. One of the last
    /// three files that cannot be read counts as not there, because the user has not named it. The variables
    /// `LITHOPS_BACKEND` and `LITHOPS_STORAGE` overrule the file.
    ///
    /// # Errors
    /// A file that was named does not exist, the text is not YAML of sections, or a file that was only found
    /// in the working directory sets a key that such a file may not set.
    pub fn load(sources: &Sources, environment: &Environment) -> Result<Self> {
        let (mut config, by_working_directory) = Self::read(sources, environment)?;
        if by_working_directory {
            trust::check(&config)?;
        }
        config.overrule(environment)?;
        Ok(config)
    }
}
