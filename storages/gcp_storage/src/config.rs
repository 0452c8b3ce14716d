//! The section `gcp_storage`: its keys, and what they mean.

use lithops_cloud_google::{CREDENTIALS_PATH, KeyFile, KeyKind, SECTION, endpoint, region};
use lithops_core::{
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
    storage::{Credentials, Locator, check_bucket},
};

use crate::{
    SCHEME,
    bucket::check,
    credentials::{KEY, USER_FILE},
};

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used("storage_bucket", "the bucket of jobs and cloud objects, which must exist"),
    Key::used("region", "the region of the bucket"),
    CREDENTIALS_PATH,
    Key::used("endpoint", "another address, such as http://127.0.0.1:4443"),
];

/// Reads where the storage is.
pub(crate) fn locate(config: &Config) -> Result<Locator> {
    let Some(bucket) = config.section(SCHEME).string("storage_bucket")? else {
        let message = "`storage_bucket` is missing in section `gcp_storage`, it names the bucket of jobs and cloud objects";
        return Err(Error::new(ErrorKind::ConfigInvalid, message)
            .with_hint("write `storage_bucket: my-bucket`; the bucket must exist")
            .with_context("key", "gcp_storage.storage_bucket"));
    };
    check_bucket(bucket)?;
    let mut locator = Locator::new(SCHEME, bucket);
    if let Some(region) = region(config, &[SCHEME, SECTION])? {
        locator = locator.with_region(region);
    }
    if let Some(endpoint) = endpoint(config, SCHEME, "endpoint")? {
        locator = locator.with_endpoint(endpoint)?;
    }
    check(&locator, bucket).map_err(|error| {
        let message =
            format!("`storage_bucket` in section `gcp_storage` cannot be used: {}", error.message());
        let wrong = Error::new(ErrorKind::ConfigInvalid, message).with_hint(error.hint().unwrap_or_default());
        wrong.with_context("key", "gcp_storage.storage_bucket")
    })?;
    Ok(locator)
}

/// Reads what opens the storage; empty when the metadata server is to have it. A store at another address is not of
/// Google: credentials go there only when its own section names them.
pub(crate) fn credentials(config: &Config) -> Result<Credentials> {
    let has_endpoint = config.section(SCHEME).string("endpoint")?.is_some();
    let sections: &[&str] = if has_endpoint { &[SCHEME] } else { &[SCHEME, SECTION] };
    lithops_cloud_google::credentials(config, sections, !has_endpoint)?
        .map_or_else(|| Ok(Credentials::default()), |file| of_file(&file))
}

/// What opens the storage, of a file of credentials.
fn of_file(file: &KeyFile) -> Result<Credentials> {
    let none = Credentials::default();
    match file.kind {
        KeyKind::ServiceAccount => Ok(none.with(KEY, Some(file.expose()))),
        KeyKind::AuthorizedUser => match file.path.to_str() {
            Some(path) => Ok(none.with(USER_FILE, Some(path))),
            None => Err(cannot(file, "its name is no text")),
        },
        KeyKind::ExternalAccount | KeyKind::ImpersonatedServiceAccount | KeyKind::Other => Err(cannot(
            file,
            "the storage opens with the key of a service account, with the login of a user, or on a machine of Google",
        )),
    }
}

fn cannot(file: &KeyFile, why: &str) -> Error {
    let message =
        format!("the credentials `{}` cannot be used for `gcp_storage`, {why}", file.path.display());
    Error::new(ErrorKind::ConfigInvalid, message)
        .with_hint("name the JSON key of a service account: `gcp_storage: {credentials_path: key.json}`")
        .with_context("key", "gcp_storage.credentials_path")
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Environment, Sources};

    use super::*;

    fn config(yaml: &str) -> Config {
        let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
        Config::load(&sources, &Environment::new(".")).expect("it is YAML")
    }

    fn key(folder: &std::path::Path, kind: &str) -> String {
        let path = folder.join(format!("{kind}.json"));
        let json = format!(r#"{{"type":"{kind}","client_email":"a@p.iam","private_key":"hunter2"}}"#);
        std::fs::write(&path, json).expect("a file");
        path.display().to_string()
    }

    #[test]
    fn a_section_becomes_a_locator_without_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = key(folder.path(), "service_account");
        let yaml = format!(
            "gcp: {{region: us-east1, credentials_path: '{key}'}}\ngcp_storage: {{storage_bucket: b}}"
        );
        let config = config(&yaml);
        let locator = locate(&config).expect("it is complete");
        assert_eq!((locator.bucket.as_str(), locator.region.as_deref()), ("b", Some("us-east1")));
        assert!(!format!("{locator:?}").contains("hunter2"));
        let credentials = credentials(&config).expect("they are there");
        assert!(credentials.expose(KEY).is_some_and(|key| key.contains("hunter2")));
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn another_address_gets_no_credentials_but_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = key(folder.path(), "service_account");
        let shared = format!(
            "gcp: {{credentials_path: '{key}'}}\ngcp_storage: {{storage_bucket: b, endpoint: 'http://127.0.0.1:1'}}"
        );
        assert!(credentials(&config(&shared)).expect("none are named").is_empty());
        let own = format!(
            "gcp_storage: {{storage_bucket: b, endpoint: 'http://127.0.0.1:1', credentials_path: '{key}'}}"
        );
        assert!(!credentials(&config(&own)).expect("they are named").is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = |yaml: &str| locate(&config(yaml)).expect_err(yaml).to_string();
        assert!(refused("gcp_storage: {region: x}").starts_with("`storage_bucket` is missing"));
        assert!(refused("gcp_storage: {storage_bucket: 'b?x'}").contains("no name of a bucket"));
        assert!(refused("gcp_storage: {storage_bucket: b, endpoint: 'h:1'}").contains("write `https://`"));
        let external = key(folder.path(), "external_account");
        let error = credentials(&config(&format!("gcp_storage: {{credentials_path: '{external}'}}")));
        let error = error.expect_err("it is none of these").to_string();
        assert!(error.contains("cannot be used for `gcp_storage`"), "{error}");
        let user = key(folder.path(), "authorized_user");
        let user = credentials(&config(&format!("gcp_storage: {{credentials_path: '{user}'}}")));
        assert!(user.expect("a user").expose(USER_FILE).is_some());
    }
}
