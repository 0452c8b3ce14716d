//! [`Client`]: the clients of the services.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_lambda::config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig};
use lithops_cloud_aws::sdk_config;
use lithops_core::error::Result;

use crate::{SCHEME, config::AwsLambdaConfig};

/// A request that manages functions is answered in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an answer may take beyond the time that the function may run.
const BEYOND: Duration = Duration::from_secs(30);

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
        let (shared, region) = sdk_config(&config.access, SCHEME).await?;
        Ok(Self {
            functions: functions(&shared),
            invocations: invocations(&shared, timeout),
            identity: aws_sdk_sts::Client::new(&shared),
            region,
        })
    }
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
