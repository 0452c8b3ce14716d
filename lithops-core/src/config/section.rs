//! [`Section`]: one section of the configuration, read by type.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{Located, Value, duration, secret};
use crate::error::Result;
use crate::error::{Error, ErrorKind};

/// A section of the configuration. Every getter returns `None` for a key that is not set or is null. A value
/// that cannot be used is an error with the key, its place, what was found and what to write instead.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    name: &'a str,
    values: Option<&'a BTreeMap<String, Located>>,
}

/// A number, or the wish that the planner chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CountValue {
    /// `AUTO`: the planner chooses.
    Auto,
    /// This number, at least 1.
    Count(usize),
}

impl<'a> Section<'a> {
    pub(super) fn new(name: &'a str, values: Option<&'a BTreeMap<String, Located>>) -> Self {
        Self { name, values }
    }

    /// The section's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The value of a key as it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a Located> {
        self.values?.get(key).filter(|located| !located.value.is_null())
    }

    /// Every key that was written, also with null, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Located)> + use<'a> {
        self.values.into_iter().flatten().map(|(key, located)| (key.as_str(), located))
    }

    /// A list of paths, or a single path; empty when the key is not set.
    ///
    /// # Errors
    /// When the value is anything else.
    pub fn paths(&self, key: &str) -> Result<Vec<PathBuf>> {
        let read = self.read(key, "a list of paths", |value| {
            let path = |value: &Value| value.as_str().filter(|path| !path.is_empty()).map(PathBuf::from);
            let paths = match value {
                Value::List(paths) => paths.iter().map(path).collect(),
                one => path(one).map(|path| vec![path]),
            };
            paths.ok_or_else(|| format!("write for example `{key}: [a/b.so]`, or leave the key out"))
        });
        Ok(read?.unwrap_or_default())
    }

    /// A whole number from 1 up.
    ///
    /// # Errors
    /// When the value is 0, negative, a fraction, a string or anything else.
    pub fn positive(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a whole number from 1 up", |value| {
            let hint = match value {
                Value::String(text) if text.trim().parse::<usize>().is_ok() => {
                    format!("write `{key}: {}` without quotes", text.trim())
                }
                _ => format!("write for example `{key}: 4`, or leave the key out"),
            };
            count(value).ok_or(hint)
        })
    }

    /// A whole number from 0 up.
    ///
    /// # Errors
    /// When the value is negative, a fraction, a string or anything else.
    pub fn whole(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a whole number from 0 up", |value| match value {
            Value::Int(0) => Ok(0),
            value => {
                count(value).ok_or_else(|| format!("write for example `{key}: 2`, or leave the key out"))
            }
        })
    }

    /// A number above 0, with or without a fraction.
    ///
    /// # Errors
    /// When the value is anything else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number above 0", |value| match value {
            Value::Int(number @ 1..) => Ok(*number as f64),
            Value::Float(number) if number.is_finite() && *number > 0.0 => Ok(*number),
            _ => Err(format!("write for example `{key}: 0.5`, or leave the key out")),
        })
    }

    /// A count from 1 up, or `AUTO`.
    ///
    /// # Errors
    /// When the value is anything else.
    pub fn count_or_auto(&self, key: &str) -> Result<Option<CountValue>> {
        self.read(key, "a whole number from 1 up or `AUTO`", |value| match value {
            Value::String(text) if text.eq_ignore_ascii_case("auto") => Ok(CountValue::Auto),
            _ => count(value)
                .map(CountValue::Count)
                .ok_or_else(|| format!("write `{key}: 4` or `{key}: AUTO`")),
        })
    }

    /// Text that is not empty.
    ///
    /// # Errors
    /// When the value is empty or not a string. A number is refused rather than turned back into text,
    /// because `3.10` is read as 3.1.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>> {
        self.read(key, "a string", |value| match value {
            Value::String(text) if !text.is_empty() => Ok(text.as_str()),
            Value::String(_) => Err("leave the key out, or write a value".to_owned()),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                Err(format!("put it in quotes: `{key}: \"...\"`"))
            }
            _ => Err(format!("write one value: `{key}: ...`")),
        })
    }

    /// One of some words, in any case.
    ///
    /// # Errors
    /// When the value is none of the words.
    pub fn one_of(&self, key: &str, words: &[&'static str]) -> Result<Option<&'static str>> {
        let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        self.read(key, &format!("one of {list}"), |value| {
            let found =
                value.as_str().and_then(|text| words.iter().find(|word| word.eq_ignore_ascii_case(text)));
            found
                .copied()
                .ok_or_else(|| format!("write for example `{key}: {}`", words.first().unwrap_or(&"")))
        })
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When the value is anything else; `yes` and `off` are strings in YAML 1.2.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "`true` or `false`", |value| {
            let hint = match value {
                Value::String(text) if is_any(text, &["yes", "on", "y", "true"]) => {
                    format!("write `{key}: true`")
                }
                Value::String(text) if is_any(text, &["no", "off", "n", "false"]) => {
                    format!("write `{key}: false`")
                }
                Value::Bool(value) => return Ok(*value),
                _ => format!("write `{key}: true` or `{key}: false`"),
            };
            Err(hint)
        })
    }

    /// A duration above zero: a number of seconds, or a number with a unit as in `500ms`, `30s`, `2m`, `1h`.
    ///
    /// # Errors
    /// When the value is anything else.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.read(key, "a duration above zero", |value| {
            duration::read(value)
                .ok_or_else(|| format!("write seconds as in `{key}: 30`, or a unit as in `{key}: 2m`"))
        })
    }

    /// The path of a file or folder.
    ///
    /// # Errors
    /// When the value is not a string, is empty, or starts with `~`, which only a shell replaces.
    pub fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        self.read(key, "a path", |value| match value {
            Value::String(text) if text == "~" || text.starts_with("~/") => {
                Err("write the whole path, `~` is not replaced here".to_owned())
            }
            Value::String(text) if !text.is_empty() && !text.contains('\0') => Ok(PathBuf::from(text)),
            _ => Err(format!("write for example `{key}: /path/to/it`")),
        })
    }

    /// The path of a file that exists; `hint` says what to write where there is none.
    ///
    /// # Errors
    /// It is not a path, or there is no such file.
    pub fn existing(&self, key: &str, hint: &str) -> Result<Option<PathBuf>> {
        let path = self.path(key)?;
        if let Some(path) = path.as_ref().filter(|path| !path.is_file()) {
            let problem = format!("names `{}`, and there is no such file", path.display());
            return Err(self.unusable(key, &problem, hint));
        }
        Ok(path)
    }

    /// The error for a value that can be read and cannot be used: `problem` goes on after the name of the key, as in
    /// "is 7, ...".
    #[must_use]
    pub fn unusable(&self, key: &str, problem: &str, hint: impl Into<String>) -> Error {
        let (section, located) = (self.name, self.get(key));
        let place = located.map(|located| format!(" {}", located.origin.phrase())).unwrap_or_default();
        let error =
            Error::new(ErrorKind::ConfigInvalid, format!("`{key}` in section `{section}`{place} {problem}"))
                .with_hint(hint)
                .with_context("key", format!("{section}.{key}"));
        match located {
            Some(located) => error.with_context("origin", located.origin.to_string()),
            None => error,
        }
    }

    /// A mapping of names to texts, or a list of `{name, value}`, as Python Lithops writes environment variables; a whole
    /// number, `true` and `false` count as texts. Empty for a key that is not set.
    ///
    /// # Errors
    /// It is anything else.
    pub fn texts(&self, key: &str) -> Result<BTreeMap<String, String>> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Int(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let read = self.read(key, "a mapping of names to texts", |value| {
            let texts = match value {
                Value::Map(map) => {
                    map.iter().map(|(name, value)| Some((name.clone(), text(value)?))).collect()
                }
                Value::List(pairs) => pairs.iter().map(|pair| named(pair, text)).collect(),
                _ => None,
            };
            texts.ok_or_else(|| format!("write `{key}: {{NAME: text}}`"))
        });
        Ok(read?.unwrap_or_default())
    }

    /// Reads a key with `read`, which returns the hint of the error if the value cannot be used.
    fn read<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> std::result::Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(located) = self.get(key) else { return Ok(None) };
        read(&located.value)
            .map(Some)
            .map_err(|hint| invalid(self.name, key, located, wanted).with_hint(hint))
    }
}

/// The name and the value of `{name: .., value: ..}`.
fn named(pair: &Value, text: impl Fn(&Value) -> Option<String>) -> Option<(String, String)> {
    match pair {
        Value::Map(map) if map.len() == 2 => Some((text(map.get("name")?)?, text(map.get("value")?)?)),
        _ => None,
    }
}

fn count(value: &Value) -> Option<usize> {
    match value {
        Value::Int(count @ 1..) => usize::try_from(*count).ok(),
        _ => None,
    }
}

fn is_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()))
}

/// The error for a value that cannot be used.
fn invalid(section: &str, key: &str, located: &Located, wanted: &str) -> Error {
    let found = match &located.value {
        value if secret::is_secret(key) => value.kind().to_owned(),
        Value::String(text) => format!("the string `{text}`"),
        Value::List(_) | Value::Map(_) => located.value.kind().to_owned(),
        value => format!("`{value}`"),
    };
    let message =
        format!("`{key}` in section `{section}` must be {wanted}, found {found} {}", located.origin.phrase());
    Error::new(ErrorKind::ConfigInvalid, message)
        .with_context("key", format!("{section}.{key}"))
        .with_context("origin", located.origin.to_string())
}
