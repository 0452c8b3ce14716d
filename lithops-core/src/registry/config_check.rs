//! [`findings`]: checks a configuration against the keys of the selected backend and storage.

use super::Registry;
use crate::{
    config::{Config, Finding, Key, check_files, check_section, check_sections, keys},
    error::Result,
    storage,
};

/// The findings about a configuration: wrong sections; keys that are unknown, refused or without effect; and
/// configuration files that were ignored.
///
/// # Errors
/// When the selected backend or storage does not exist.
pub fn findings(config: &Config, registry: &Registry) -> Result<Vec<Finding>> {
    let backend = registry.find(config.backend())?;
    let storage = storage::descriptor(&registry.storage_of(config)?)?;
    let mut known: Vec<_> = registry.iter().map(|backend| backend.scheme).collect();
    known.extend(storage::descriptors()?.iter().map(|storage| storage.scheme));
    let mut findings = check_sections(config, &known);
    findings.extend(check_files(config));
    findings.extend(check_section(config.section("lithops"), keys::LITHOPS));
    // One section may belong to a backend and to a storage, as `localhost` does: the keys of both are valid
    // there.
    let mut sections: Vec<(&str, Vec<Key>)> = vec![(backend.scheme, backend.section_keys())];
    if storage.scheme == backend.scheme {
        sections[0].1.extend_from_slice(storage.keys);
    } else {
        sections.push((storage.scheme, storage.keys.to_vec()));
        if let Some(other) = storage::descriptors()?.iter().find(|other| other.scheme == backend.scheme) {
            sections[0].1.extend_from_slice(other.keys);
        }
    }
    for (section, keys) in sections {
        findings.extend(check_section(config.section(section), &keys));
    }
    Ok(findings)
}
