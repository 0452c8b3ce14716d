//! Reads the YAML text into sections of values with their origins.

use std::collections::BTreeMap;

use super::{
    ConfigSource, Located, Origin, Value,
    yaml::{self, MapKey, Node, Problem, Tree, YamlError},
};
use crate::error::{Error, ErrorKind, Result};

/// A section: the place where it starts, and its values.
#[derive(Clone)]
pub(super) struct SectionValues {
    pub(super) origin: Origin,
    pub(super) values: BTreeMap<String, Located>,
}

/// Reads `text`, which came from `source`.
pub(super) fn parse(text: &str, source: &ConfigSource) -> Result<BTreeMap<String, SectionValues>> {
    let document = yaml::read(text).map_err(|error| refuse(&error, source))?;
    let sections = match document.tree {
        Tree::Map(sections) => sections,
        // An empty text, or one of comments only.
        Tree::Scalar(Value::Null) => Vec::new(),
        _ => return Err(not_sections(Value::from(document).kind(), source)),
    };
    sections.into_iter().map(|(name, body)| section(name, body, source)).collect()
}

fn section(name: MapKey, body: Node, source: &ConfigSource) -> Result<(String, SectionValues)> {
    let origin = source.at(name.place.line);
    let entries = match body.tree {
        Tree::Map(entries) => entries,
        Tree::Scalar(Value::Null) => Vec::new(),
        _ => {
            let kind = Value::from(body).kind();
            let message = format!("section `{}` {} is {kind}, not a mapping", name.name, origin.phrase());
            let hint =
                format!("write `{}:` alone on its line and `key: value` lines indented below it", name.name);
            return Err(Error::new(ErrorKind::ConfigInvalid, message)
                .with_hint(hint)
                .with_context("section", name.name));
        }
    };
    let values = entries
        .into_iter()
        .map(|(key, node)| (key.name, Located { value: node.into(), origin: source.at(key.place.line) }))
        .collect();
    Ok((name.name, SectionValues { origin, values }))
}

fn not_sections(kind: &str, source: &ConfigSource) -> Error {
    let message = format!("the configuration in {source} is {kind}, not a mapping of sections");
    Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint("start with `lithops:` and `backend: localhost` indented below it")
}

fn refuse(error: &YamlError, source: &ConfigSource) -> Error {
    let at = match (&error.place, source) {
        (Some(place), ConfigSource::File(path)) => {
            format!("{}:{}:{}", path.display(), place.line, place.column)
        }
        (Some(place), _) => format!("{}, column {}", source.at(place.line), place.column),
        (None, _) => source.to_string(),
    };
    let (message, hint) = match &error.problem {
        Problem::DuplicateKey(key) => {
            (format!("key `{key}` is written a second time at {at}"), "keep one of the two")
        }
        Problem::SecondDocument => {
            (format!("a second YAML document starts at {at}"), "keep one document: remove the `---` line")
        }
        Problem::NullKey => {
            (format!("a key at {at} is null"), "write its name, in quotes if it is the word null")
        }
        Problem::Tab => {
            (format!("a tab is used as indentation at {at}"), "indent with spaces, YAML allows no tabs there")
        }
        Problem::Other(words) => (
            format!("the configuration is not valid YAML at {at}, {words}"),
            "look at indentation, colons and quotes on that line and the one above",
        ),
    };
    let mut refused = Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint(hint)
        .with_context("source", source.to_string());
    if let Some(place) = error.place {
        refused = refused
            .with_context("line", place.line.to_string())
            .with_context("column", place.column.to_string());
    }
    refused
}
