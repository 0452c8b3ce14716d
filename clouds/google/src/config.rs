//! The keys that sections of Google Cloud have in common: region, project, credentials, and another address.

use std::path::PathBuf;

use lithops_core::{
    address::{check_endpoint, check_region},
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
};

use crate::KeyFile;

/// The section that all backends and storages of Google Cloud read after their own.
pub const SECTION: &str = "gcp";

/// The variable that names the file of the credentials, as for all programs of Google.
const CREDENTIALS_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The file that `gcloud auth application-default login` writes, below the folder of gcloud's configuration.
const WELL_KNOWN: &str = "application_default_credentials.json";

/// The key of the region.
pub const REGION: Key = Key::used("region", "the region, such as us-east1");
/// The key of the project.
pub const PROJECT: Key = Key::used("project", "the project; by default that of the credentials");
/// The key of the credentials.
pub const CREDENTIALS_PATH: Key =
    Key::used("credentials_path", "the JSON file of the credentials; by default those of this machine");

/// Another address of a service, as its section has it.
///
/// # Errors
/// The value is anything but a scheme, a host and a port.
pub fn endpoint<'a>(config: &'a Config, section: &'a str, key: &'a str) -> Result<Option<&'a str>> {
    let endpoint = config.section(section).string(key)?;
    if let Some(endpoint) = endpoint {
        check_endpoint(endpoint, &["https", "http"])
            .map_err(|error| unusable(key, section, &format!("in section `{section}`"), &error))?;
    }
    Ok(endpoint.map(|endpoint| endpoint.trim_end_matches('/')))
}

/// The region of the first of these sections that has one.
///
/// # Errors
/// The name has characters that would lead to another host.
pub fn region(config: &Config, sections: &[&str]) -> Result<Option<String>> {
    for section in sections {
        let Some(region) = config.section(section).string("region")? else { continue };
        let place = config.section(section).get("region").map(|located| format!("at {}", located.origin));
        check_region(region, false)
            .map_err(|error| unusable("region", section, &place.unwrap_or_default(), &error))?;
        return Ok(Some(region.to_owned()));
    }
    Ok(None)
}

/// The file of the credentials: that of the first of these sections that names one, else that of the environment or of
/// gcloud (`of_machine`). Without any, the metadata server of the platform has credentials, or nothing has.
///
/// # Errors
/// The file that is named cannot be read, or is none of credentials.
pub fn credentials(config: &Config, sections: &[&str], of_machine: bool) -> Result<Option<KeyFile>> {
    for name in sections {
        if let Some(path) = config.section(name).string("credentials_path")? {
            let read = KeyFile::read(path.as_ref());
            return read
                .map(Some)
                .map_err(|error| error.with_context("key", format!("{name}.credentials_path")));
        }
    }
    if !of_machine {
        return Ok(None);
    }
    if let Some(path) = std::env::var_os(CREDENTIALS_VARIABLE).filter(|path| !path.is_empty()) {
        let read = KeyFile::read(path.as_ref());
        return read.map(Some).map_err(|error| error.with_context("variable", CREDENTIALS_VARIABLE));
    }
    let folder = std::env::var_os("CLOUDSDK_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(std::env::home_dir()?.join(".config/gcloud")));
    let Some(file) = folder.map(|folder| folder.join(WELL_KNOWN)).filter(|file| file.exists()) else {
        return Ok(None);
    };
    KeyFile::read(&file).map(Some)
}

fn unusable(key: &str, section: &str, place: &str, error: &Error) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("`{key}` {place} cannot be used: {}", error.message()))
        .with_hint(error.hint().unwrap_or_default())
        .with_context("key", format!("{section}.{key}"))
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Environment, Sources};

    use super::*;

    fn config(yaml: &str) -> Config {
        let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
        Config::load(&sources, &Environment::new(".")).expect("it is YAML")
    }

    #[test]
    fn the_own_section_comes_before_the_shared_one() {
        let both = config("gcp: {region: us-east1}\nown: {region: europe-west1}\n");
        assert_eq!(region(&both, &["own", SECTION]).expect("a region").as_deref(), Some("europe-west1"));
        let shared = config("gcp: {region: us-east1}");
        assert_eq!(region(&shared, &["own", SECTION]).expect("a region").as_deref(), Some("us-east1"));
    }

    #[test]
    fn what_would_lead_to_another_host_is_refused() {
        let error = region(&config("gcp: {region: 'evil.test/x?'}"), &[SECTION]).expect_err("no region");
        assert!(error.to_string().starts_with("`region` at line "), "{error}");
        let address = config("own: {endpoint: 'http://u:hunter2@h:1'}");
        let error = endpoint(&address, "own", "endpoint").expect_err("a password").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let error = credentials(&config("gcp: {credentials_path: /none/key.json}"), &[SECTION], false);
        let error = error.expect_err("it is not there");
        assert!(error.to_string().contains("cannot read the credentials `/none/key.json`"), "{error}");
        assert!(credentials(&config(""), &[SECTION], false).expect("none is named").is_none());
    }
}
