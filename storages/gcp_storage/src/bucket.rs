//! One bucket: the client of `object_store` for it.

use std::time::Duration;

use lithops_core::{
    address::{check_endpoint, check_region},
    error::{Error, ErrorKind, Result},
    storage::{Locator, ReadableListings},
};
use object_store::{
    ClientOptions, RetryConfig,
    gcp::{GcpCredentialProvider, GoogleCloudStorage, GoogleCloudStorageBuilder},
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may send nothing; a slow download sends something.
const SILENCE: Duration = Duration::from_secs(30);

/// The address of the service. It is always given to the client, because a key file could name another.
pub(crate) const ADDRESS: &str = "https://storage.googleapis.com";

/// The longest name of a bucket: 63 characters, and 222 for names with dots.
const LONGEST_NAME: usize = 222;

/// What all clients have in common. Their own retries are off: `ObjectStorage` makes requests again, within one limit
/// for all.
pub(crate) fn builder(locator: &Locator) -> GoogleCloudStorageBuilder {
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_allow_http(true);
    GoogleCloudStorageBuilder::new()
        .with_client_options(options)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_base_url(locator.endpoint.as_deref().unwrap_or(ADDRESS))
}

/// The client of a bucket. Address and bucket become parts of URLs, and the locator may come from another process: all
/// are checked.
pub(crate) fn open(
    locator: &Locator,
    bucket: &str,
    credentials: GcpCredentialProvider,
) -> Result<GoogleCloudStorage> {
    check(locator, bucket)?;
    let builder = builder(locator).with_http_connector(ReadableListings).with_credentials(credentials);
    builder.with_bucket_name(bucket).build().map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, format!("cannot open bucket `{bucket}`, {error}"))
            .with_hint("look at `storage_bucket` and `endpoint`")
            .with_source(error)
    })
}

/// Checks everything that becomes part of a URL.
pub(crate) fn check(locator: &Locator, bucket: &str) -> Result<()> {
    if let Some(endpoint) = &locator.endpoint {
        check_endpoint(endpoint, &["https", "http"])?;
    }
    if let Some(region) = &locator.region {
        check_region(region, locator.endpoint.is_some())?;
    }
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_right = (1..=LONGEST_NAME).contains(&bucket.len()) && bucket.bytes().all(is_name);
    if is_right && is_end(bucket.bytes().next()) && is_end(bucket.bytes().last()) {
        return Ok(());
    }
    let message = format!("`{}` is no name of a bucket", bucket.escape_debug());
    Err(Error::new(ErrorKind::InvalidInput, message).with_hint(
        "names of buckets have lower-case letters, digits, `-`, `_` and `.`, and begin and end with a letter or a digit",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SCHEME;

    #[test]
    fn what_would_lead_to_another_host_is_refused_wherever_it_stands() {
        for bucket in ["b?list-type=2", "b#", "b%2f", "b c", "@evil", ".", "-b", "Upper", ""] {
            assert!(check(&Locator::new(SCHEME, bucket), bucket).is_err(), "{bucket}");
        }
        for bucket in ["my-bucket", "a.example.test", "0_1"] {
            check(&Locator::new(SCHEME, bucket), bucket).expect(bucket);
        }
        let locator = Locator::new(SCHEME, "b").with_endpoint("http://host/../evil").expect("no credentials");
        assert!(check(&locator, "b").is_err());
    }
}
