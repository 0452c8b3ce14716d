//! One bucket: the client of `object_store` for it.

use std::time::Duration;

use lithops_core::{
    address::{check_endpoint, check_region},
    error::{Error, ErrorKind, Result},
    storage::{Locator, ReadableListings},
};
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, S3ConditionalPut},
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may send nothing; a slow download sends something.
const SILENCE: Duration = Duration::from_secs(30);

/// The longest name of a bucket. New ones have 63 characters at most; old ones may have more.
const LONGEST_NAME: usize = 255;

/// The client of a bucket. Its own retries are off: `ObjectStorage` makes requests again, within one limit for all.
///
/// Region, address and bucket become parts of URLs, and the locator may come from another process: all are checked.
pub(crate) fn open(locator: &Locator, bucket: &str, credentials: AwsCredentialProvider) -> Result<AmazonS3> {
    check(locator, bucket)?;
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
        .with_allow_http(true);
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_http_connector(ReadableListings)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_credentials(credentials)
        .with_bucket_name(bucket);
    if let Some(region) = &locator.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &locator.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, format!("cannot open bucket `{bucket}`, {error}"))
            .with_hint("look at `storage_bucket`, `region` and `endpoint`")
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
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_right = (1..=LONGEST_NAME).contains(&bucket.len()) && bucket.bytes().all(is_name);
    if is_right && bucket.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let message = format!("`{}` is no name of a bucket", bucket.escape_debug());
    Err(Error::new(ErrorKind::InvalidInput, message)
        .with_hint("names of buckets have letters, digits, `-`, `_` and `.`, and 255 of them at most"))
}
