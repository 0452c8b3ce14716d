//! [`sdk_config`]: the configuration of the AWS SDK's clients.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_async::rt::sleep::TokioSleep;
use lithops_core::{
    address::check_region,
    error::{Error, ErrorKind, Result},
};

use crate::{CredentialsSource, Keys, credentials::check_files, http, raise_file_limit};

/// Where a service of AWS is, and what opens it.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The region, where the configuration or the environment names one; else that of the profile or the instance.
    pub region: Option<String>,
    /// Another address of the service.
    pub endpoint: Option<String>,
    /// The access key of the configuration; without one, the usual chain of AWS.
    pub keys: Option<Keys>,
}

/// The configuration of the clients of a backend, and their region. Nothing is asked yet, except where the region is not
/// known.
///
/// # Errors
/// No region is known; the error names `section` as the place to write it.
pub async fn sdk_config(access: &Access, section: &str) -> Result<(SdkConfig, String)> {
    raise_file_limit();
    check_files()?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http::client()?)
        .sleep_impl(TokioSleep::new())
        .credentials_provider(CredentialsSource::new(access.keys.as_ref(), access.region.as_deref()));
    if let Some(region) = &access.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &access.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    let region = shared.region().map(ToString::to_string).ok_or_else(|| {
        Error::new(ErrorKind::ConfigInvalid, format!("no region is known of section `{section}`"))
            .with_hint("write `region: eu-west-1` there or in section `aws`, or set AWS_REGION")
    })?;
    // The region of a profile has not been checked before.
    check_region(&region, access.endpoint.is_some())?;
    Ok((shared, region))
}

/// The region of the access; without one, that of the profile or of the instance, for which the SDK is asked.
///
/// # Errors
/// No region is known; the error names `section` as the place to write it.
pub async fn region_of(access: &Access, section: &str) -> Result<String> {
    match &access.region {
        Some(region) => Ok(region.clone()),
        None => sdk_config(access, section).await.map(|(_, region)| region),
    }
}
