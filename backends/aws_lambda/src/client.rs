//! [`Client`]: the clients of the services, and the credentials they sign with.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::config::{
    Credentials, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use lithops_core::{
    address::check_region,
    error::{Error, ErrorKind, Result},
    regular,
};

use crate::{config::AwsLambdaConfig, http};

/// A request that manages functions is answered in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an answer may take beyond the time that the function may run.
const BEYOND: Duration = Duration::from_secs(30);

/// The files that the SDK reads, by the variables that name them and their places in the home folder.
const FILES: [(&str, &str); 4] = [
    ("AWS_CONFIG_FILE", ".aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", ""),
    ("SSL_CERT_FILE", ""),
];

/// The clients of the services.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// For functions: failed requests are made again.
    pub(crate) functions: aws_sdk_lambda::Client,
    /// For invocations: each is made once, whoever asked for it decides what becomes of a failure.
    pub(crate) invocations: aws_sdk_lambda::Client,
    /// Who asks.
    pub(crate) identity: aws_sdk_sts::Client,
    /// Where.
    pub(crate) region: String,
}

impl Client {
    /// Clients under a configuration, for functions that may run so long. Nothing is asked yet, except where the
    /// region is not known.
    ///
    /// # Errors
    /// No region is known.
    pub(crate) async fn of(config: &AwsLambdaConfig, timeout: Duration) -> Result<Self> {
        http::allow_connections();
        check_files()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client()?)
            .sleep_impl(TokioSleep::new());
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(keys) = &config.credentials {
            let token = keys.token.clone();
            loader =
                loader.credentials_provider(Credentials::new(&keys.id, &keys.secret, token, None, "lithops"));
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        let region = shared.region().map(ToString::to_string).ok_or_else(|| {
            Error::new(ErrorKind::ConfigInvalid, "no region is known of section `aws_lambda`")
                .with_hint("write `region: eu-west-1` there or in section `aws`, or set AWS_REGION")
        })?;
        // Nobody has seen that of a profile yet.
        check_region(&region, config.endpoint.is_some())?;
        Ok(Self {
            functions: functions(&shared),
            invocations: invocations(&shared, timeout),
            identity: aws_sdk_sts::Client::new(&shared),
            region,
        })
    }
}

/// A pipe in the place of one of them would be waited for.
fn check_files() -> Result<()> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    for (name, place) in FILES {
        let at_home = || {
            let home = variable("HOME").filter(|_| !place.is_empty())?;
            Some(std::path::Path::new(&home).join(place))
        };
        let Some(path) = variable(name).map(std::path::PathBuf::from).or_else(at_home) else { continue };
        regular::check_endless(&path).map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, format!("`{}` cannot be read: {error}", path.display()))
                .with_hint(format!("put a file there, or name another one with the variable `{name}`"))
        })?;
    }
    Ok(())
}

fn functions(shared: &SdkConfig) -> aws_sdk_lambda::Client {
    let patience = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
    let retries = RetryConfig::standard().with_max_attempts(5);
    let config = aws_sdk_lambda::config::Builder::from(shared).timeout_config(patience).retry_config(retries);
    aws_sdk_lambda::Client::from_conf(config.build())
}

fn invocations(shared: &SdkConfig, timeout: Duration) -> aws_sdk_lambda::Client {
    // A function says nothing until it has ended: that is no stall.
    let patience = TimeoutConfig::builder().operation_attempt_timeout(timeout + BEYOND).build();
    let config = aws_sdk_lambda::config::Builder::from(shared)
        .timeout_config(patience)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    aws_sdk_lambda::Client::from_conf(config.build())
}
