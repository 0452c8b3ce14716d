//! One bucket: the client of `object_store` for it.

use std::{sync::Arc, time::Duration};

use lithops_core::{
    error::{Error, ErrorKind, Result},
    storage::Locator,
};
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, S3ConditionalPut},
};

use crate::listing::ReadableListings;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);

/// The client of a bucket. It tries nothing again itself: whoever has it does.
pub(crate) fn open(locator: &Locator, bucket: &str, credentials: AwsCredentialProvider) -> Result<AmazonS3> {
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

/// Shared by all who ask for the bucket.
pub(crate) type Opened = Arc<lithops_core::storage::ObjectStorage>;
