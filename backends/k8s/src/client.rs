//! The connection to the cluster.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use lithops_core::error::{Error, ErrorKind, Result};

use crate::{config::K8sConfig, failure};

/// The oldest version 1.x of Kubernetes whose Jobs limit the retries of each index.
const OLDEST: u32 = 29;

/// A cluster and a namespace in it.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The address of the API server.
    pub(crate) address: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("namespace", &self.namespace)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the kubeconfig. Nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// When there is no kubeconfig that can be used.
    pub(crate) async fn connect(config: &K8sConfig) -> Result<Self> {
        let problem = |error: &dyn std::fmt::Display| {
            let context = config
                .kubecfg_context
                .as_ref()
                .map_or_else(String::new, |name| format!(" with the context `{name}`"));
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("there is no kubeconfig that can be used{context}: {error}"),
            )
            .with_hint("write `k8s: {kubecfg_path: ..}`, or set KUBECONFIG; does `kubectl get pods` work?")
        };
        let options =
            KubeConfigOptions { context: config.kubecfg_context.clone(), ..KubeConfigOptions::default() };
        let mut kube = match &config.kubecfg_path {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| problem(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| problem(&error))?
            }
            None if config.kubecfg_context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| problem(&error))?
            }
            None => Config::infer().await.map_err(|error| problem(&error))?,
        };
        let namespace = config.namespace.clone().unwrap_or_else(|| kube.default_namespace.clone());
        let address = kube.cluster_url.to_string();
        // Requests are made again by who makes them, and watches by themselves; the client's own would take many minutes.
        kube.default_retry = false;
        let client = Client::try_from(kube).map_err(|error| failure::of(&error, "connect to the cluster"))?;
        Ok(Self { client, namespace, address })
    }

    /// Asks the cluster for its version; returns it.
    ///
    /// # Errors
    /// When the cluster does not answer, or is too old.
    pub(crate) async fn version(&self) -> Result<String> {
        let what = format!("ask the cluster at {} for its version", self.address);
        let version = self.client.apiserver_version().await.map_err(|error| failure::of(&error, &what))?;
        if is_too_old(&version.major, &version.minor) {
            let problem = format!(
                "the cluster at {} is Kubernetes {}.{}, and 1.{OLDEST} is the oldest whose Jobs can limit the retries of \
                 each worker",
                self.address, version.major, version.minor
            );
            return Err(Error::new(ErrorKind::Unsupported, problem)
                .with_hint("upgrade the cluster, or use another one"));
        }
        Ok(version.git_version)
    }
}

/// Minor versions of some clouds end in `+`.
fn is_too_old(major: &str, minor: &str) -> bool {
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    major == "1" && digits.parse().is_ok_and(|minor: u32| minor < OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_too_old_are_known() {
        for (major, minor, is_old) in [
            ("1", "28", true),
            ("1", "28+", true),
            ("1", "29", false),
            ("1", "34+", false),
            ("2", "0", false),
        ] {
            assert_eq!(is_too_old(major, minor), is_old, "{major}.{minor}");
        }
    }
}
