//! [`Config`]: the layers defaults < file < environment < builder; a later layer replaces values of earlier
//! ones.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    ConfigSource, Environment, Located, Origin, Section, Sources, Value,
    document::{self, SectionValues},
    secret, sources,
};
use crate::error::Result;

/// The section with the keys of lithops itself.
const LITHOPS: &str = "lithops";
/// The backend and the storage that are used when none is named; both have this name.
const LOCALHOST: &str = "localhost";
/// The environment variables that replace keys of the section `lithops`.
const VARIABLES: [(&str, &str); 2] = [("LITHOPS_BACKEND", "backend"), ("LITHOPS_STORAGE", "storage")];

/// The configuration: sections of keys, each value with its origin.
#[derive(Clone, Default)]
pub struct Config {
    sections: BTreeMap<String, SectionValues>,
    found: Option<ConfigSource>,
    passed_over: Vec<(PathBuf, String)>,
}

/// One value of the configuration, as `config show` lists it.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigEntry<'a> {
    /// The name of the section.
    pub section: &'a str,
    /// The name of the key.
    pub key: &'a str,
    /// The value, with credentials replaced by asterisks.
    pub value: Value,
    /// The origin of the value.
    pub origin: &'a Origin,
}

impl Config {
    /// Finds and reads the configuration. The flag says whether it is used only because it lies in the
    /// working directory, where another user may have put it.
    pub(crate) fn read(sources: &Sources, environment: &Environment) -> Result<(Self, bool)> {
        let mut config = Self::default();
        let mut by_working_directory = false;
        if let Some(found) = sources::find(sources, environment, &mut config.passed_over)? {
            config.sections = document::parse(&found.text, &found.source)?;
            config.found = Some(found.source);
            by_working_directory = found.by_working_directory;
        }
        Ok((config, by_working_directory))
    }

    /// Replaces values of the file by those of environment variables.
    pub(crate) fn overrule(&mut self, environment: &Environment) -> Result<()> {
        for (name, key) in VARIABLES {
            if let Some(value) = environment.variable(name) {
                self.set(LITHOPS, key, value, Origin::Variable { name, line: None });
            }
        }
        // Both names are checked here, so that `backend` and `storage` need not return errors.
        for key in ["backend", "storage"] {
            self.section(LITHOPS).string(key)?;
        }
        Ok(())
    }

    /// The name of the backend; `localhost` if none is named.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.name_or_localhost("backend")
    }

    /// The name of the storage; `localhost` if none is named.
    #[must_use]
    pub fn storage(&self) -> &str {
        self.name_or_localhost("storage")
    }

    /// Where the configuration was found; `None` if there is none.
    #[must_use]
    pub fn found_in(&self) -> Option<&ConfigSource> {
        self.found.as_ref()
    }

    /// The default configuration files that exist and cannot be read, each with the reason.
    pub fn passed_over(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.passed_over.iter().map(|(path, reason)| (path.as_path(), reason.as_str()))
    }

    /// Sets a value, and replaces the one that was there.
    pub fn set(&mut self, section: &str, key: &str, value: impl Into<Value>, origin: Origin) {
        let values = self
            .sections
            .entry(section.to_owned())
            .or_insert_with(|| SectionValues { origin: origin.clone(), values: BTreeMap::new() });
        values.values.insert(key.to_owned(), Located { value: value.into(), origin });
    }

    /// Sets a value if none is set, so that `config show` lists the default.
    pub fn set_default(&mut self, section: &str, key: &str, value: impl Into<Value>) {
        if self.section(section).get(key).is_none() {
            self.set(section, key, value, Origin::Default);
        }
    }

    /// A section; it is empty if the configuration does not have it.
    #[must_use]
    pub fn section<'a>(&'a self, name: &'a str) -> Section<'a> {
        Section::new(name, self.sections.get(name).map(|section| &section.values))
    }

    /// The names of the sections, sorted, each with the place where it starts.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.sections.iter().map(|(name, section)| (name.as_str(), &section.origin))
    }

    /// Every value, sorted by section and key, with credentials hidden.
    pub fn entries(&self) -> impl Iterator<Item = ConfigEntry<'_>> {
        self.sections.iter().flat_map(|(section, values)| {
            values.values.iter().map(move |(key, located)| ConfigEntry {
                section,
                key,
                value: secret::redact(key, &located.value),
                origin: &located.origin,
            })
        })
    }

    fn name_or_localhost(&self, key: &str) -> &str {
        self.section(LITHOPS).get(key).and_then(|located| located.value.as_str()).unwrap_or(LOCALHOST)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("found", &self.found)
            .field("entries", &self.entries().collect::<Vec<_>>())
            .finish()
    }
}
