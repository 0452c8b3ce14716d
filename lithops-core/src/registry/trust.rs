//! What a configuration may say that was found only because of the working directory.
//!
//! Whoever unpacks an archive or changes into a folder of another user has not read its `.lithops_config`. It may set
//! the keys that say of themselves that they are harmless, and no others: a list of those that are not would forget the
//! next one. A key that this program does not know may mean anything to the next.

use super::Registry;
use crate::{
    config::{Config, Key, KeyStatus, keys},
    error::{Error, ErrorKind, Result},
    storage,
};

/// How many refused keys are named.
const NAMED: usize = 8;

/// Refuses what only a file named on purpose may say.
pub(super) fn check(config: &Config) -> Result<()> {
    let registry = Registry::builtin()?;
    let storages = storage::descriptors()?;
    let known = |section: &str| {
        let backends = registry.iter().filter(|backend| backend.scheme == section);
        let storages = storages.iter().filter(|storage| storage.scheme == section);
        let mut known: Vec<Key> = backends.flat_map(|backend| backend.section_keys()).collect();
        known.extend(storages.flat_map(|storage| storage.keys));
        known.extend(if section == "lithops" { keys::LITHOPS } else { &[] });
        known
    };
    let mut refused = Vec::new();
    for (section, _) in config.sections() {
        let known = known(section);
        for (name, located) in config.section(section).iter().filter(|(_, located)| !located.value.is_null())
        {
            let mut same = known.iter().filter(|key| key.name == name).peekable();
            // A section of two owners has a key of both only if both have none to fear.
            if same.peek().is_some() && same.clone().all(|key| key.found_file_may_set) {
                continue;
            }
            let place = format!("`{name}` in section `{section}` {}", located.origin.phrase());
            let advice = same.find_map(|key| match key.status {
                KeyStatus::Refused(reason) => Some(reason),
                _ => None,
            });
            refused.push((place, advice));
        }
    }
    match refused.is_empty() {
        true => Ok(()),
        false => Err(refuse(config, &refused)),
    }
}

fn refuse(config: &Config, refused: &[(String, Option<&str>)]) -> Error {
    let file = config.found_in().map(ToString::to_string).unwrap_or_default();
    // A key that no file may set is not helped by naming the file.
    if let Some((place, Some(reason))) = refused.iter().find(|(_, advice)| advice.is_some()) {
        return Error::new(ErrorKind::ConfigInvalid, format!("{place} is refused")).with_hint(*reason);
    }
    let mut places: Vec<_> = refused.iter().take(NAMED).map(|(place, _)| place.as_str()).collect();
    let more = format!("{} more", refused.len().saturating_sub(NAMED));
    if refused.len() > NAMED {
        places.push(&more);
    }
    let (last, others) = places.split_last().expect("there is one at least");
    let (places, is, it) = match others.is_empty() {
        true => ((*last).to_owned(), "is", "it"),
        false => (format!("{} and {last}", others.join(", ")), "are", "they"),
    };
    let message = format!(
        "{places} {is} not accepted from a file that was only found in the working directory: {it} may decide what \
         code runs, with what rights, or where data and credentials go"
    );
    Error::new(ErrorKind::ConfigInvalid, message).with_context("file", file.clone()).with_hint(format!(
        "if you trust the file, name it: `--config {file}`, `.config_file(\"{file}\")` or \
             `LITHOPS_CONFIG_FILE={file}`; else remove it"
    ))
}
