//! [`findings`]: checks a configuration against the keys of the selected backend and storage; [`check_config`] reads all
//! values besides.

use super::Registry;
use crate::{
    compute::Capabilities,
    config::{
        Config, Finding, FindingSeverity, Key, Origin, Value, check_files, check_section, check_sections,
        keys,
    },
    error::{Error, Result},
    plan::PlanRequest,
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
    let known = known_sections(registry)?;
    let mut findings = check_everywhere(config, &known);
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

/// All findings about a configuration at once: about its keys, and about values that cannot be used. Without an error
/// among them an executor can be built, if backend and storage can be reached.
#[must_use]
pub fn check_config(config: &Config) -> Vec<Finding> {
    let registry = match Registry::of(config) {
        Ok(registry) => registry,
        Err(error) => return vec![unusable(config, &error)],
    };
    let backend = registry.find(config.backend());
    let storage = registry.storage_of(config).and_then(|storage| storage::descriptor(&storage));
    let mut found = Vec::new();
    match findings(config, &registry) {
        Ok(findings) => found = findings,
        Err(_) => {
            // Backend or storage does not exist: what is left can be checked all the same.
            found.extend(
                known_sections(&registry)
                    .map_or_else(|_| Vec::new(), |known| check_everywhere(config, &known)),
            );
            found.extend(backend.as_ref().err().map(|error| unusable(config, error)));
            found.extend(storage.as_ref().err().map(|error| unusable(config, error)));
        }
    }
    let mut errors = errors_of_values(config, |config| {
        let lithops = config.section("lithops");
        lithops.duration("execution_timeout")?;
        lithops.bool("history")?;
        PlanRequest::new(0, &Capabilities::local(1)).with_config(config, config.section(config.backend()))?;
        Ok(())
    });
    if let Ok(backend) = &backend {
        errors.extend(errors_of_values(config, |config| {
            let capabilities = backend.capabilities(config)?;
            let own = config.section(backend.scheme);
            PlanRequest::new(0, &capabilities).with_config(config, own)?.plan().map(drop)
        }));
    }
    if let Ok(storage) = &storage {
        errors.extend(errors_of_values(config, |config| (storage.locate)(config).map(drop)));
        errors.extend(errors_of_values(config, |config| (storage.credentials)(config).map(drop)));
    }
    for error in &errors {
        let finding = unusable(config, error);
        // Several readers may read the same key.
        if found.iter().all(|other| other.message != finding.message) {
            found.push(finding);
        }
    }
    found
}

fn known_sections(registry: &Registry) -> Result<Vec<&'static str>> {
    let backends = registry.iter().map(|backend| backend.scheme);
    Ok(backends.chain(storage::descriptors()?.iter().map(|storage| storage.scheme)).collect())
}

/// What can be checked without knowing backend and storage.
fn check_everywhere(config: &Config, known: &[&str]) -> Vec<Finding> {
    let mut findings = check_sections(config, known);
    findings.extend(check_files(config));
    findings.extend(check_section(config.section("lithops"), keys::LITHOPS));
    findings
}

/// All errors of a reader that stops at its first one: a value that it refuses is taken away, and it reads again.
fn errors_of_values(config: &Config, read: impl Fn(&Config) -> Result<()>) -> Vec<Error> {
    let (mut config, mut errors) = (config.clone(), Vec::new());
    while let Err(error) = read(&config) {
        let key = key_of(&config, &error);
        let is_named = key.is_some();
        let written = key.filter(|(section, key)| config.section(section).get(key).is_some());
        // That a value is missing may only be so because it was taken away.
        if written.is_some() || !is_named || errors.is_empty() {
            errors.push(error);
        }
        let Some((section, key)) = written else { break };
        config.set(&section, &key, Value::Null, Origin::Default);
    }
    errors
}

/// The section and the key that an error is about, if it says so. A key alone is one of the backend's section.
fn key_of(config: &Config, error: &Error) -> Option<(String, String)> {
    let (_, key) = error.context().find(|(name, _)| *name == "key")?;
    let (section, key) = key.split_once('.').unwrap_or((config.backend(), key));
    Some((section.to_owned(), key.to_owned()))
}

fn unusable(config: &Config, error: &Error) -> Finding {
    let key = key_of(config, error);
    let located = key.as_ref().and_then(|(section, key)| config.section(section).get(key));
    let origin = located.map(|located| located.origin.clone());
    Finding {
        severity: FindingSeverity::Error,
        message: error.message().to_owned(),
        hint: error.hint().map(str::to_owned),
        origin: origin.unwrap_or(Origin::Default),
    }
}
