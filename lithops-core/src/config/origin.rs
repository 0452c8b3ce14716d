//! [`Origin`]: the place that a value came from; [`ConfigSource`]: the place where the whole text was found.

use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer};

use super::Value;

/// The place that a value came from. `Display` writes it as messages name it: `lithops.yaml:3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The value is a default: no layer has set it.
    Default,
    /// A line of a configuration file; 0 stands for an unknown line.
    File {
        /// The path of the file, as it was named.
        path: PathBuf,
        /// The line of the key, from 1.
        line: u64,
    },
    /// An environment variable.
    Variable {
        /// The name of the variable.
        name: &'static str,
        /// The line of the key when the variable holds a whole configuration; otherwise `None`.
        line: Option<u64>,
    },
    /// A line of the text given to the builder's `config_yaml`.
    Text {
        /// The line of the key, from 1.
        line: u64,
    },
    /// A call of the builder, by its name.
    Builder(&'static str),
    /// An argument of the command line, with its dashes.
    Argument(&'static str),
    /// The origin in the program that has loaded this plugin, as text.
    Host(String),
}

impl Origin {
    /// The place with a preposition, to end a sentence: `at lithops.yaml:3`.
    pub(crate) fn phrase(&self) -> String {
        match self {
            Self::Default => "set by default".to_owned(),
            Self::File { .. } | Self::Text { .. } => format!("at {self}"),
            Self::Variable { .. } => format!("in {self}"),
            Self::Builder(_) | Self::Argument(_) => format!("from {self}"),
            Self::Host(_) => format!("at {self}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable { name, line: None } => write!(f, "variable {name}"),
            Self::Variable { name, line: Some(line) } => write!(f, "variable {name}, line {line}"),
            Self::Text { line } => write!(f, "line {line} of .config_yaml(..)"),
            Self::Builder(call) => write!(f, "builder call .{call}(..)"),
            Self::Argument(name) => write!(f, "argument {name}"),
            Self::Host(words) => f.write_str(words),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value together with its origin.
#[derive(Clone, PartialEq)]
pub struct Located {
    /// The value.
    pub value: Value,
    /// The place that the value came from.
    pub origin: Origin,
}

impl fmt::Debug for Located {
    /// Shows the kind of the value only: the value may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value.kind(), self.origin)
    }
}

/// The place where the text of the configuration was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// A configuration file.
    File(PathBuf),
    /// An environment variable that holds the text itself.
    Variable(&'static str),
    /// The text that was given to the builder.
    Text,
}

impl ConfigSource {
    /// The origin of a value on `line` of the text; 0 is an unknown line.
    #[must_use]
    pub fn at(&self, line: u64) -> Origin {
        match self {
            Self::File(path) => Origin::File { path: path.clone(), line },
            Self::Variable(name) => Origin::Variable { name, line: (line > 0).then_some(line) },
            Self::Text => Origin::Text { line },
        }
    }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Text => f.write_str("the text given to .config_yaml(..)"),
        }
    }
}
