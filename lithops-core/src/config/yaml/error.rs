//! [`YamlError`]: why a text cannot be read, and where. It holds no part of the text but names of keys, because
//! values may be credentials.

use std::fmt;

use super::Place;

/// Why a text is not a document that can be read.
#[derive(Debug)]
pub(crate) struct YamlError {
    pub(crate) problem: Problem,
    /// Where; `None` only until the error has passed the node that it is about.
    pub(crate) place: Option<Place>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// This key stands in one mapping twice.
    DuplicateKey(String),
    /// A second document follows.
    SecondDocument,
    /// A key is null.
    NullKey,
    /// A tab stands where the indentation counts.
    Tab,
    /// What the words say.
    Other(String),
}

impl YamlError {
    pub(super) fn new(problem: Problem, place: Place) -> Self {
        Self { problem, place: Some(place) }
    }

    /// The error with `place`, if it has no place yet.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

impl From<granit_parser::ScanError> for YamlError {
    fn from(error: granit_parser::ScanError) -> Self {
        use granit_parser::ErrorKind::{
            TabAtBlockScalarStart, TabInBlockIndentation, TabInIndentation, TabNotAllowed,
        };
        let problem = match error.kind() {
            TabAtBlockScalarStart | TabInBlockIndentation | TabInIndentation | TabNotAllowed => Problem::Tab,
            kind => Problem::Other(kind.to_string()),
        };
        Self::new(problem, Place::of(error.marker()))
    }
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::DuplicateKey(key) => write!(f, "key `{key}` is written a second time"),
            Problem::SecondDocument => f.write_str("a second document follows"),
            Problem::NullKey => f.write_str("a key is null"),
            Problem::Tab => f.write_str("a tab is used as indentation"),
            Problem::Other(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for YamlError {}

impl serde::de::Error for YamlError {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self { problem: Problem::Other(words.to_string()), place: None }
    }
}
