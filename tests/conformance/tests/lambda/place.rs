//! [`Place`]: a service of Lambda, and executors on it through a proxy.

use std::{net::SocketAddr, path::PathBuf};

use lithops_core::executor::FunctionExecutor;
use lithops_fault_proxy::{FaultProxy, Messages};

/// What one request or answer of Lambda may hold.
const MESSAGE: usize = 6_291_456;

/// What the path of an invocation ends with, with its answer as a whole.
pub(crate) const WHOLE: &str = "/invocations";

/// A service, and what the configuration says beside its address.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) server: SocketAddr,
    /// Whole sections, and the rest of the mapping `aws_lambda` that is not the trial's.
    pub(crate) sections: String,
    pub(crate) more: String,
    /// Where calls may leave files.
    pub(crate) folder: PathBuf,
}

impl Place {
    /// A proxy before the service, which lets pass what the service takes and gives, and nothing else.
    pub(crate) async fn proxy(&self) -> FaultProxy {
        let proxy = FaultProxy::start(self.server).await.expect("a port");
        proxy.look_at(Messages::json("/invocations", MESSAGE));
        proxy
    }

    /// The configuration that leads through a proxy, with what a trial wants.
    pub(crate) fn yaml(&self, proxy: &FaultProxy, wish: &str) -> String {
        let Self { sections, more, .. } = self;
        let endpoint = proxy.endpoint();
        format!(
            "lithops: {{backend: aws_lambda, history: false}}\n\
             aws: {{access_key_id: test, secret_access_key: test, region: us-east-1}}\n\
             aws_lambda: {{endpoint: '{endpoint}', execution_role: 'arn:aws:iam::123456789012:role/lithops'{more}{wish}}}\n\
             {sections}\n"
        )
    }

    /// An executor through a proxy.
    pub(crate) async fn executor(&self, proxy: &FaultProxy, wish: &str) -> FunctionExecutor {
        let builder = FunctionExecutor::builder().config_yaml(self.yaml(proxy, wish));
        builder.progress(false).ctrl_c(false).build().await.expect("an executor")
    }
}
