//! The keys that a configuration may set which was only found in the working directory.
//!
//! A user who unpacks an archive, or changes into a folder of another user, has not read the
//! `.lithops_config` there. Such a file may only set keys whose definition declares them harmless. The
//! opposite, a list of dangerous keys, would miss the next key that is added. A key that this program does
//! not know is refused too: another program may give it a meaning.

use super::Registry;
use crate::{
    config::{Config, Key, KeyStatus, keys},
    error::{Error, ErrorKind, Result},
    storage,
};

/// At most this many refused keys are named in the error.
const NAMED: usize = 8;

/// Checks a configuration that was only found in the working directory.
///
/// # Errors
/// `ConfigInvalid`, if it sets a key that only a file which the user names may set.
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
            // A key that this section does not have is never read. It is a typing error, and is told as one.
            if same.peek().is_none() && !known.is_empty() {
                continue;
            }
            // Where a backend and a storage both define the key, both must declare it harmless.
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
    // A key that no file may set is reported by itself: the hint to name the file would not help.
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
