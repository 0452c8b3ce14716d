//! [`Sources`]: what the program named, and the search for the text of the configuration.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{Environment, Source};
use crate::error::{Error, ErrorKind, Result};

/// The variable that holds the text of a configuration.
const TEXT_VARIABLE: &str = "LITHOPS_CONFIG";
/// The variable that names a configuration file.
const FILE_VARIABLE: &str = "LITHOPS_CONFIG_FILE";
/// A configuration is written by hand; what is larger was named by mistake.
const MAX_BYTES: u64 = 1 << 20;

/// What the program itself named as its configuration; both empty means: search.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file given to `config_file` or to `--config`.
    pub file: Option<PathBuf>,
    /// The text given to `config_yaml`.
    pub yaml: Option<String>,
}

impl fmt::Debug for Sources {
    /// Leaves the text out: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yaml = self.yaml.as_ref().map(|yaml| format!("{} bytes", yaml.len()));
        f.debug_struct("Sources").field("file", &self.file).field("yaml", &yaml).finish()
    }
}

/// The text of a configuration, and how it was found.
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) text: String,
    /// Whether it is only used because it lies in the working directory, which others may have filled.
    pub(super) by_working_directory: bool,
}

/// Searches in the documented order; nothing found is no error.
pub(super) fn find(sources: &Sources, environment: &Environment) -> Result<Option<Found>> {
    match (&sources.file, &sources.yaml) {
        (Some(file), Some(_)) => {
            let message = format!(
                "both the configuration file `{}` and a configuration text are given",
                file.display()
            );
            return Err(Error::new(ErrorKind::ConfigInvalid, message)
                .with_hint("keep either .config_file(..) or .config_yaml(..)"));
        }
        (Some(file), None) => return named(file, environment, "the configuration file").map(Some),
        (None, Some(yaml)) => return Ok(Some(given(Source::Text, yaml))),
        (None, None) => {}
    }
    if let Some(text) = environment.variable(TEXT_VARIABLE) {
        return Ok(Some(given(Source::Variable(TEXT_VARIABLE), text)));
    }
    if let Some(file) = environment.variable(FILE_VARIABLE) {
        return named(Path::new(file), environment, "the file named by variable `LITHOPS_CONFIG_FILE`,")
            .map(Some);
    }
    if let Some(text) = read_if_there(&environment.cwd().join(".lithops_config"))? {
        let source = Source::File(PathBuf::from(".lithops_config"));
        return Ok(Some(Found { source, text, by_working_directory: true }));
    }
    let home = environment.home().map(|home| home.join(".lithops/config"));
    for path in home.into_iter().chain([environment.system().join("lithops/config")]) {
        if let Some(text) = read_if_there(&path)? {
            return Ok(Some(Found { source: Source::File(path), text, by_working_directory: false }));
        }
    }
    Ok(None)
}

fn given(source: Source, text: &str) -> Found {
    Found { source, text: text.to_owned(), by_working_directory: false }
}

/// Reads a file that was named: it must be there.
fn named(path: &Path, environment: &Environment, what: &str) -> Result<Found> {
    match read_if_there(&environment.cwd().join(path))? {
        Some(text) => Ok(Found { source: Source::File(path.to_owned()), text, by_working_directory: false }),
        None => {
            Err(Error::new(ErrorKind::ConfigInvalid, format!("{what} `{}` does not exist", path.display()))
                .with_hint(format!("the working directory is `{}`", environment.cwd().display())))
        }
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    let refused = |message: String| {
        let message = format!("the configuration file `{}` {message}", path.display());
        Error::new(ErrorKind::ConfigInvalid, message).with_context("file", path.display().to_string())
    };
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            let error = refused(format!("cannot be read, {error}")).with_source(error);
            return Err(error.with_hint("make it a file that you may read, or remove it"));
        }
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused("is larger than 1 MiB".into()).with_hint("name the YAML file of lithops"));
    }
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        refused(format!("is not UTF-8 text, line {}", line + 1))
            .with_hint("save it as UTF-8")
            .with_source(error.utf8_error())
    })
}
