//! [`Client`]: the clients of the services.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_lambda::config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig};
use lithops_cloud_aws::sdk_config;
use lithops_core::error::Result;

use crate::{SCHEME, config::AwsLambdaConfig};

/// How long a request that manages functions may take with its retries; usually it is answered in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may take beyond the time limit of the function: for the connection, a cold start and the answer.
const BEYOND: Duration = Duration::from_secs(30);

/// The clients of the services.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The client that manages functions; it makes failed requests again.
    pub(crate) functions: aws_sdk_lambda::Client,
    /// The client of invocations. It makes each request once: the executor decides what follows a failure.
    pub(crate) invocations: aws_sdk_lambda::Client,
    /// The client that says whose the credentials are.
    pub(crate) identity: aws_sdk_sts::Client,
    /// The region of all clients.
    pub(crate) region: String,
}

impl Client {
    /// Clients under a configuration, for functions with this time limit. No request is made, except where the region is
    /// not known.
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
    // A function sends nothing until it has ended: the SDK would take that for a stall.
    let patience = TimeoutConfig::builder().operation_attempt_timeout(timeout + BEYOND).build();
    let config = aws_sdk_lambda::config::Builder::from(shared)
        .timeout_config(patience)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    aws_sdk_lambda::Client::from_conf(config.build())
}
