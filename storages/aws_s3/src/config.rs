//! The sections `aws_s3`, `minio` and `ceph`: their keys, and what they mean.

use lithops_cloud_aws::{
    ACCESS_KEY_ID, Keys, REGION_NAME, SECRET_ACCESS_KEY, SECTION, SESSION_TOKEN, endpoint, region,
};
use lithops_core::{
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
    storage::{Credentials, Locator, check_bucket},
};

use crate::{CEPH, MINIO, SCHEME, bucket::check};

/// The region that requests to a store at another address are signed for when none is configured.
const ANY_REGION: &str = "us-east-1";

const BUCKET: Key = Key::used("storage_bucket", "the bucket of jobs and cloud objects, which must exist");
const REGION: Key = Key::used("region", "the region of the bucket");
const ENDPOINT: Key = Key::used("endpoint", "the address, such as http://127.0.0.1:9000");

/// The keys of `aws_s3`.
pub(crate) const AWS_S3_KEYS: &[Key] =
    &[BUCKET, REGION, REGION_NAME, ENDPOINT, ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN];

/// The keys of stores that have an address of their own.
pub(crate) const ENDPOINT_KEYS: &[Key] = &[
    BUCKET,
    ENDPOINT,
    REGION,
    REGION_NAME,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    Key::accepted("private_endpoint", "one address serves clients and workers", "the address for workers"),
];

/// Reads where the storage is.
pub(crate) fn locate(config: &Config, scheme: &'static str) -> Result<Locator> {
    let section = config.section(scheme);
    let missing = |key: &str, why: &str, hint: String| {
        Error::new(ErrorKind::ConfigInvalid, format!("`{key}` is missing in section `{scheme}`, {why}"))
            .with_hint(hint)
            .with_context("key", format!("{scheme}.{key}"))
    };
    let bucket = section.string("storage_bucket")?.ok_or_else(|| {
        missing(
            "storage_bucket",
            "it names the bucket of jobs and cloud objects",
            "write `storage_bucket: my-bucket`; the bucket must exist".to_owned(),
        )
    })?;
    check_bucket(bucket)?;
    let endpoint = endpoint(config, scheme)?;
    if endpoint.is_none() && scheme != SCHEME {
        let port = if scheme == CEPH { 7480 } else { 9000 };
        let hint = format!("write for example `endpoint: http://127.0.0.1:{port}`");
        return Err(missing("endpoint", "it is where the store listens", hint));
    }
    let region = region(config, sections(scheme), endpoint.is_some())?;
    let region = region.or_else(|| endpoint.map(|_| ANY_REGION.to_owned())).ok_or_else(|| {
        missing("region", "and neither does section `aws` say it", "write `region: eu-west-1`".to_owned())
    })?;
    let mut locator = Locator::new(scheme, bucket).with_region(region);
    if let Some(endpoint) = endpoint {
        locator = locator.with_endpoint(endpoint.trim_end_matches('/'))?;
    }
    check(&locator, bucket).map_err(|error| {
        let message = format!("`storage_bucket` in section `{scheme}` cannot be used: {}", error.message());
        let wrong = Error::new(ErrorKind::ConfigInvalid, message).with_hint(error.hint().unwrap_or_default());
        wrong.with_context("key", format!("{scheme}.storage_bucket"))
    })?;
    Ok(locator)
}

/// Reads the secrets of the section, or of the section `aws` for S3 itself; empty when neither has any.
pub(crate) fn credentials(config: &Config, scheme: &'static str) -> Result<Credentials> {
    Ok(Keys::read(config, sections(scheme))?.map_or_else(Credentials::default, |keys| keys.for_storage()))
}

/// The sections that are read, in this order. A store at another address is not of AWS: it has its own section alone.
fn sections(scheme: &str) -> &'static [&'static str] {
    match scheme {
        SCHEME => &[SCHEME, SECTION],
        MINIO => &[MINIO],
        _ => &[CEPH],
    }
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
    fn a_section_becomes_a_locator_without_secrets() {
        let config = config(
            "aws: {access_key_id: ID, secret_access_key: hunter2, region: eu-west-1}\naws_s3: {storage_bucket: b}\n",
        );
        let locator = locate(&config, SCHEME).expect("it is complete");
        assert_eq!((locator.bucket.as_str(), locator.region.as_deref()), ("b", Some("eu-west-1")));
        assert!(!format!("{locator:?}").contains("hunter2"));
        let credentials = credentials(&config, SCHEME).expect("they are complete");
        assert_eq!(credentials.expose("secret_access_key"), Some("hunter2"));
        assert!(super::credentials(&config, MINIO).expect("there are none").is_empty());
    }

    #[test]
    fn what_is_missing_is_named() {
        let refused = |yaml: &str, scheme| locate(&config(yaml), scheme).expect_err(yaml).to_string();
        assert!(refused("aws_s3: {region: x}", SCHEME).starts_with("`storage_bucket` is missing"));
        assert!(refused("minio: {storage_bucket: b}", MINIO).contains("`endpoint` is missing"));
        let address = refused("minio: {storage_bucket: b, endpoint: 'localhost:9000'}", MINIO);
        assert!(address.contains("write `https://`, the host and the port"), "{address}");
        let half = credentials(&config("minio: {access_key_id: a}"), MINIO).expect_err("half").to_string();
        assert!(half.contains("`secret_access_key` is missing"), "{half}");
        let inside = refused("minio: {storage_bucket: b, endpoint: 'http://u:hunter2@h:1'}", MINIO);
        assert!(!inside.contains("hunter2"), "{inside}");
    }

    #[test]
    fn what_would_lead_to_another_host_is_refused_wherever_it_stands() {
        for region in ["evil.test/x?", "evil.test#", "eu-west-1.evil.test", "u@evil", "EU"] {
            for yaml in [
                format!("aws_s3: {{storage_bucket: b, region: '{region}'}}"),
                format!("aws: {{region: '{region}'}}\naws_s3: {{storage_bucket: b}}"),
            ] {
                let error = locate(&config(&yaml), SCHEME).expect_err(region).to_string();
                assert!(error.starts_with("`region` at line ") && error.contains(region), "{error}");
            }
            // Also where another process has made the locator.
            let locator = Locator::new(SCHEME, "b").with_region(region);
            assert!(check(&locator, "b").is_err());
        }
        for bucket in ["b?list-type=2", "b#", "b%2f", "b c", "@evil", "."] {
            assert!(check(&Locator::new(SCHEME, bucket).with_region("eu-west-1"), bucket).is_err());
        }
        let locator = Locator::new(MINIO, "b").with_region("us-east-1");
        let locator = locator.with_endpoint("http://host/../evil").expect("no credentials");
        assert!(check(&locator, "b").is_err());
        let region = "minio: {storage_bucket: my_Bucket.1, endpoint: 'http://h:1/', region: RegionOne}";
        locate(&config(region), MINIO).expect("it is no part of a host name");
    }
}
