//! The findings of `config check`: unknown keys and sections, refused keys, and keys without effect.

use std::path::Path;

use serde::Serialize;

use super::{Config, Key, KeyStatus, Origin, Section, keys};
use crate::error::{Error, ErrorKind};

/// How serious a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingSeverity {
    /// The configuration cannot be used as it is.
    Error,
    /// The configuration works, but the finding may surprise its author.
    Note,
}

/// A problem or a note about the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How serious the finding is.
    pub severity: FindingSeverity,
    /// What was found, and where.
    pub message: String,
    /// What to do about it; `None` when nothing is to be done.
    pub hint: Option<String>,
    /// The place of the key, section or file.
    pub origin: Origin,
}

impl Finding {
    fn new(severity: FindingSeverity, message: String, hint: Option<String>, origin: &Origin) -> Self {
        Self { severity, message, hint, origin: origin.clone() }
    }
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Self {
        let error = Error::new(ErrorKind::ConfigInvalid, finding.message)
            .with_context("origin", finding.origin.to_string());
        match finding.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// Compares a section with the keys that are known in it.
#[must_use]
pub fn check_section(section: Section<'_>, known: &[Key]) -> Vec<Finding> {
    section
        .iter()
        .filter_map(|(name, located)| {
            let (section, origin) = (section.name(), &located.origin);
            let place = format!("`{name}` in section `{section}` {}", origin.phrase());
            let (severity, message, hint) =
                match known.iter().find(|key| key.name == name).map(|key| key.status) {
                    Some(KeyStatus::Used) => return None,
                    Some(KeyStatus::UsedExcept { is_foreign, .. }) if !is_foreign(&located.value) => {
                        return None;
                    }
                    Some(KeyStatus::Accepted(note) | KeyStatus::UsedExcept { note, .. }) => {
                        (FindingSeverity::Note, format!("{place} has no effect"), Some(note.to_owned()))
                    }
                    Some(KeyStatus::Refused(_)) if located.value.is_null() => return None,
                    Some(KeyStatus::Refused(reason)) => {
                        (FindingSeverity::Error, format!("{place} is refused"), Some(reason.to_owned()))
                    }
                    None => (
                        FindingSeverity::Error,
                        format!("unknown key {place}"),
                        Some(suggest_key(section, name, known)),
                    ),
                };
            Some(Finding::new(severity, message, hint, origin))
        })
        .collect()
}

/// Reports the default configuration files that exist and cannot be read.
#[must_use]
pub fn check_files(config: &Config) -> Vec<Finding> {
    let note = |(path, reason): (&Path, &str)| {
        let message = format!("the configuration file `{}` is passed over: {reason}", path.display());
        let origin = Origin::File { path: path.to_owned(), line: 0 };
        Finding::new(
            FindingSeverity::Note,
            message,
            Some("make it a file that you may read, or remove it".into()),
            &origin,
        )
    };
    config.passed_over().map(note).collect()
}

/// Reports sections that are neither in `known`, which has the sections that this program reads, nor sections
/// of Python Lithops.
#[must_use]
pub fn check_sections(config: &Config, known: &[&str]) -> Vec<Finding> {
    let names = || known.iter().chain(keys::SECTIONS).copied();
    config
        .sections()
        .filter(|(section, _)| names().all(|name| name != *section))
        .map(|(section, origin)| {
            let hint = match nearest(section, names()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "sections are named `lithops` or like a backend or a storage".to_owned(),
            };
            let message = format!("unknown section `{section}` {}", origin.phrase());
            Finding::new(FindingSeverity::Error, message, Some(hint), origin)
        })
        .collect()
}

/// The candidate that is most like `name`; `None` when none is like it enough for a suggestion.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
    let name = normal(name);
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&name, &normal(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        // Of equally good candidates the first is kept: `max_by` alone would take the last.
        .fold(None, |best: Option<(f64, &str)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, candidate)| candidate)
}

fn suggest_key(section: &str, name: &str, known: &[Key]) -> String {
    let usable = known.iter().filter(|key| !matches!(key.status, KeyStatus::Refused(_)));
    match nearest(name, usable.clone().map(|key| key.name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<_> = usable.map(|key| format!("`{}`", key.name)).collect();
            match names.is_empty() {
                true => format!("section `{section}` has no keys"),
                false => format!("section `{section}` knows {}", names.join(", ")),
            }
        }
    }
}
