//! The secrets of the storage, where the platform has put them into a file.

use std::{env, fs};

use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::Secrets,
};

/// The variable with the path of a file with the secrets of the storage, as JSON.
pub(super) const SECRETS_FILE: &str = "LITHOPS_SECRETS_FILE";

/// The secrets of the storage; `None` when the platform has put none into a file.
pub(super) fn secrets() -> Result<Option<Secrets>> {
    let Some(path) = env::var_os(SECRETS_FILE) else { return Ok(None) };
    let problem = |what: String| {
        let problem = format!("cannot read the secrets of the storage in `{}`: {what}", path.display());
        Error::new(ErrorKind::InvalidInput, problem)
    };
    let text = fs::read_to_string(&path).map_err(|error| problem(error.to_string()))?;
    Secrets::from_json(&text).map(Some).map_err(|error| problem(error.message().to_owned()))
}
