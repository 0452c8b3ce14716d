//! [`Sources`]: the configuration that the program named, and the search for the text.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{ConfigSource, Environment};
use crate::{
    error::{Error, ErrorKind, Result},
    regular,
};

/// The environment variable that holds the text of a configuration.
const TEXT_VARIABLE: &str = "LITHOPS_CONFIG";
/// The environment variable that names a configuration file.
const FILE_VARIABLE: &str = "LITHOPS_CONFIG_FILE";
/// The longest configuration file in bytes: a longer file is no configuration, and was named by mistake.
const MAX_BYTES: u64 = 1 << 20;

/// The configuration that the program itself named; if both are empty, the default places are searched.
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
pub(super) struct FoundConfig {
    pub(super) source: ConfigSource,
    pub(super) text: String,
    /// Whether the file is used only because it lies in the working directory, where another user may have
    /// put it.
    pub(super) by_working_directory: bool,
}

/// Searches in the documented order; a missing configuration is no error. A default file that cannot be read
/// counts as missing, and is noted in `passed_over` with the reason.
pub(super) fn find(
    sources: &Sources,
    environment: &Environment,
    passed_over: &mut Vec<(PathBuf, String)>,
) -> Result<Option<FoundConfig>> {
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
        (None, Some(yaml)) => return Ok(Some(given(ConfigSource::Text, yaml))),
        (None, None) => {}
    }
    if let Some(text) = environment.variable(TEXT_VARIABLE) {
        return Ok(Some(given(ConfigSource::Variable(TEXT_VARIABLE), text)));
    }
    if let Some(file) = environment.variable(FILE_VARIABLE) {
        return named(Path::new(file), environment, "the file named by variable `LITHOPS_CONFIG_FILE`,")
            .map(Some);
    }
    let mut look = |path: &Path, shown: &Path| match read(path) {
        Ok(bytes) => text(bytes, path).map(Some),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(unreadable(path, error)),
        Err(error) => {
            tracing::warn!(file = %shown.display(), %error, "a configuration file cannot be read and is passed over");
            passed_over.push((shown.to_owned(), error.to_string()));
            Ok(None)
        }
    };
    let here = PathBuf::from(".lithops_config");
    if let Some(text) = look(&environment.cwd().join(&here), &here)? {
        return Ok(Some(FoundConfig { source: ConfigSource::File(here), text, by_working_directory: true }));
    }
    let home = environment.home().map(|home| home.join(".lithops/config"));
    for path in home.into_iter().chain([environment.system().join("lithops/config")]) {
        if let Some(text) = look(&path, &path)? {
            return Ok(Some(FoundConfig {
                source: ConfigSource::File(path),
                text,
                by_working_directory: false,
            }));
        }
    }
    Ok(None)
}

fn given(source: ConfigSource, text: &str) -> FoundConfig {
    FoundConfig { source, text: text.to_owned(), by_working_directory: false }
}

/// Reads a file that was named: a missing file is an error.
fn named(path: &Path, environment: &Environment, what: &str) -> Result<FoundConfig> {
    let whole = environment.cwd().join(path);
    match read(&whole) {
        Ok(bytes) => {
            let text = text(bytes, &whole)?;
            Ok(FoundConfig { source: ConfigSource::File(path.to_owned()), text, by_working_directory: false })
        }
        Err(error) if is_absent(&error) => {
            Err(Error::new(ErrorKind::ConfigInvalid, format!("{what} `{}` does not exist", path.display()))
                .with_hint(format!("the working directory is `{}`", environment.cwd().display())))
        }
        Err(error) => Err(unreadable(&whole, error)),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular::read(path, MAX_BYTES)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let (fault, hint) = match error.kind() {
        io::ErrorKind::FileTooLarge => ("cannot be used", "name the YAML file of lithops"),
        io::ErrorKind::InvalidInput => {
            ("cannot be read", "name a file, or put its text into the variable `LITHOPS_CONFIG`")
        }
        _ => ("cannot be read", "make it a file that you may read, or name another one"),
    };
    refuse(path, &format!("{fault}, {error}")).with_source(error).with_hint(hint)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        refuse(path, &format!("is not UTF-8 text, line {}", line + 1))
            .with_hint("save it as UTF-8")
            .with_source(error.utf8_error())
    })
}

fn refuse(path: &Path, fault: &str) -> Error {
    let message = format!("the configuration file `{}` {fault}", path.display());
    Error::new(ErrorKind::ConfigInvalid, message).with_context("file", path.display().to_string())
}
