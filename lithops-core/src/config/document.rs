//! Reads the YAML text into sections of values with their origins.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;

use super::{ConfigSource, Located, Origin, Value};
use crate::error::{Error, ErrorKind, Result};

/// A section: the place where it starts, and its values.
#[derive(Clone)]
pub(super) struct SectionValues {
    pub(super) origin: Origin,
    pub(super) values: BTreeMap<String, Located>,
}

/// Reads `text`, which came from `source`.
pub(super) fn parse(text: &str, source: &ConfigSource) -> Result<BTreeMap<String, SectionValues>> {
    let options = serde_saphyr::options! {
        // YAML 1.2: `on` and `no` are strings, and 0123 is not octal. An account id keeps its leading zeros.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        // A snippet would show the lines around the error, which may hold credentials.
        with_snippet: false,
    };
    let document: Document =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| refuse(&error, source))?;
    let sections = match document {
        Document::Sections(sections) => sections,
        Document::Other(kind) => return Err(not_sections(kind, source)),
    };
    sections.into_iter().map(|(name, body)| section(name, body, source)).collect()
}

fn section(name: Spanned<String>, body: Body, source: &ConfigSource) -> Result<(String, SectionValues)> {
    let origin = source.at(name.referenced.line());
    let entries = match body {
        Body::Entries(entries) => entries,
        Body::Other(value) => {
            let message =
                format!("section `{}` {} is {}, not a mapping", name.value, origin.phrase(), value.kind());
            let hint =
                format!("write `{}:` alone on its line and `key: value` lines indented below it", name.value);
            return Err(Error::new(ErrorKind::ConfigInvalid, message)
                .with_hint(hint)
                .with_context("section", name.value));
        }
    };
    let values = entries
        .into_iter()
        .map(|(key, value)| (key.value, Located { value, origin: source.at(key.referenced.line()) }))
        .collect();
    Ok((name.value, SectionValues { origin, values }))
}

fn not_sections(kind: &str, source: &ConfigSource) -> Error {
    let message = format!("the configuration in {source} is {kind}, not a mapping of sections");
    Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint("start with `lithops:` and `backend: localhost` indented below it")
}

fn refuse(error: &serde_saphyr::Error, source: &ConfigSource) -> Error {
    let place = error.location().filter(|location| location.line() > 0);
    let at = match (&place, source) {
        (Some(place), ConfigSource::File(path)) => {
            format!("{}:{}:{}", path.display(), place.line(), place.column())
        }
        (Some(place), _) => format!("{}, column {}", source.at(place.line()), place.column()),
        (None, _) => source.to_string(),
    };
    let words = error.without_snippet().to_string();
    let words = words.split_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    let (message, hint) = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("key `{key}` is written a second time at {at}"), "keep one of the two".to_owned())
        }
        serde_saphyr::Error::MultipleDocuments { .. } => (
            format!("a second YAML document starts before {at}"),
            "keep one document: remove the `---` line".to_owned(),
        ),
        serde_saphyr::Error::NullIntoString { .. } => {
            (format!("a key at {at} is null"), "write its name, in quotes if it is the word null".to_owned())
        }
        _ if words.starts_with("tabs disallowed") => (
            format!("a tab is used as indentation at {at}"),
            "indent with spaces, YAML allows no tabs there".to_owned(),
        ),
        _ => (
            format!("the configuration is not valid YAML at {at}, {words}"),
            "look at indentation, colons and quotes on that line and the one above".to_owned(),
        ),
    };
    let mut refused = Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint(hint)
        .with_context("source", source.to_string());
    if let Some(place) = place {
        refused = refused
            .with_context("line", place.line().to_string())
            .with_context("column", place.column().to_string());
    }
    refused
}

/// The whole text. A document that is no mapping is kept by its kind, for a better message than the parser's.
enum Document {
    Sections(Vec<(Spanned<String>, Body)>),
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(Entries::<Body>::new())? {
            Ok(sections) => Self::Sections(sections),
            Err(value) => Self::Other(value.kind()),
        })
    }
}

/// The content of a section.
enum Body {
    Entries(Vec<(Spanned<String>, Value)>),
    Other(Value),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(Entries::<Value>::new())? {
            Ok(entries) => Self::Entries(entries),
            Err(value) => Self::Other(value),
        })
    }
}

/// Reads a mapping with the places of its keys; an empty document counts as an empty mapping.
struct Entries<V>(std::marker::PhantomData<V>);

impl<V> Entries<V> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<'de, V: Deserialize<'de>> de::Visitor<'de> for Entries<V> {
    type Value = std::result::Result<Vec<(Spanned<String>, V)>, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Ok(entries))
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(Ok(Vec::new()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
        while seq.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Err(Value::List(Vec::new())))
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Self::Value, E> {
        Ok(Err(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Self::Value, E> {
        Ok(Err(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Self::Value, E> {
        Ok(Err(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Self::Value, E> {
        Ok(Err(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E> {
        Ok(Err(value.into()))
    }
}
