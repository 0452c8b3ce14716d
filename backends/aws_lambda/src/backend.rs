//! [`AwsLambdaBackend`]: the [`ComputeBackend`] of AWS Lambda, as far as planning goes.

use std::sync::Arc;

use async_trait::async_trait;
use lithops_core::{
    compute::{
        BackendDescriptor, BackendInfo, Capabilities, Check, CloseMode, ComputeBackend, Invocation,
        InvocationId, InvokeRequest, Package, Runtime, RuntimeId, RuntimeSpec, Severity,
    },
    config::Config,
    error::{Error, ErrorKind, Result},
};

use crate::{
    SCHEME,
    config::{self, AwsLambdaConfig},
};

/// What this crate submits.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "AWS Lambda functions; jobs are planned and priced, and not started yet",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: config::KEYS,
    capabilities: |config| AwsLambdaConfig::read(config)?.capabilities(None),
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(AwsLambdaBackend::new(&options.config)?);
            Ok(backend)
        })
    },
};

/// Plans and prices jobs for AWS Lambda.
#[derive(Debug)]
pub struct AwsLambdaBackend {
    config: AwsLambdaConfig,
    capabilities: Capabilities,
}

impl AwsLambdaBackend {
    /// The backend under a configuration. Nothing is connected to.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(config: &Config) -> Result<Self> {
        let config = AwsLambdaConfig::read(config)?;
        let capabilities = config.capabilities(None)?;
        Ok(Self { config, capabilities })
    }
}

#[async_trait]
impl ComputeBackend for AwsLambdaBackend {
    fn info(&self) -> BackendInfo {
        let region = self.config.region.clone();
        let location =
            region.as_ref().map_or("AWS Lambda".into(), |region| format!("AWS Lambda in {region}"));
        BackendInfo { scheme: SCHEME, region, location }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn sized(&self, memory: u64) -> Result<Capabilities> {
        self.config.capabilities(Some(memory))
    }

    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        Err(plans_only())
    }

    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        Err(plans_only())
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        Err(plans_only())
    }

    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        Err(plans_only())
    }

    async fn invoke(&self, _: InvokeRequest) -> Result<Invocation> {
        Err(plans_only())
    }

    async fn watch(&self, _: &InvocationId) -> Result<Invocation> {
        Err(plans_only())
    }

    async fn cancel(&self, _: &InvocationId) -> Result<()> {
        // Nothing runs.
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        vec![Check {
            finding: "this version plans jobs for AWS Lambda, and does not start them".into(),
            severity: Severity::Warning,
            remedy: Some("use `.plan()` and `lithops plan`, and run on `localhost`".into()),
        }]
    }

    async fn close(&self, _: CloseMode) -> Result<()> {
        Ok(())
    }
}

fn plans_only() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "this version of `aws_lambda` plans and prices jobs, and does not start them",
    )
    .with_hint("use `.plan()` or `lithops plan`, and run on `localhost`")
}
