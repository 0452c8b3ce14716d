//! [`Config::load`]: the configuration, refused where a file that was only found says what it must not. Which keys it may
//! set is known to those that read them: the backends and storages of this program.

use super::trust;
use crate::{
    config::{Config, Environment, Sources},
    error::Result,
};

impl Config {
    /// Finds and reads the configuration.
    ///
    /// The first of these that exists is the file: what `sources` names, the text in `LITHOPS_CONFIG`, the file named
    /// by `LITHOPS_CONFIG_FILE`, `./.lithops_config`, `~/.lithops/config`, `/etc/lithops/config`. Files are not
    /// merged. Nothing found is an empty configuration, which means localhost; of the last three, which nobody has
    /// named, one that cannot be read counts as not there. The variables `LITHOPS_BACKEND` and `LITHOPS_STORAGE`
    /// overrule the file.
    ///
    /// # Errors
    /// A file that was named does not exist, the text is not YAML of sections, or a file that merely lies in the
    /// working directory sets a key that does not say of itself that such a file may.
    pub fn load(sources: &Sources, environment: &Environment) -> Result<Self> {
        let (mut config, by_working_directory) = Self::read(sources, environment)?;
        if by_working_directory {
            trust::check(&config)?;
        }
        config.overrule(environment)?;
        Ok(config)
    }
}
