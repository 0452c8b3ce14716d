//! The connection to the cluster.

use std::path::PathBuf;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use lithops_core::{
    config::Section,
    error::{Error, ErrorKind, Result},
};

use crate::{failure, values};

/// What leads to a cluster and a namespace in it.
#[derive(Debug, Clone)]
pub struct Access {
    /// The section of the configuration that this is from.
    pub section: &'static str,
    /// The kubeconfig, if it is not the usual one.
    pub kubecfg_path: Option<PathBuf>,
    /// The context of the kubeconfig, if it is not its current one.
    pub kubecfg_context: Option<String>,
    /// The namespace, if it is not that of the context.
    pub namespace: Option<String>,
}

impl Access {
    /// Reads the keys `kubecfg_path`, `kubecfg_context` and `namespace`.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub fn read(name: &'static str, section: Section<'_>) -> Result<Self> {
        let text = |key: &str| -> Result<Option<String>> { Ok(section.string(key)?.map(str::to_owned)) };
        let namespace = text("namespace")?;
        if let Some(name) = namespace.as_deref().filter(|name| !values::is_label(name)) {
            let hint = "write small letters, digits and `-`, 63 at most";
            return Err(section.unusable("namespace", &format!("is `{}`", name.escape_debug()), hint));
        }
        Ok(Self {
            section: name,
            kubecfg_path: section.existing("kubecfg_path", "name a kubeconfig, or leave the key out")?,
            kubecfg_context: text("kubecfg_context")?,
            namespace,
        })
    }
}

/// A cluster and a namespace in it.
#[derive(Clone)]
pub struct Cluster {
    /// Makes requests.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The address of the API server.
    pub address: String,
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
    pub async fn connect(access: &Access) -> Result<Self> {
        let problem = |error: &dyn std::fmt::Display| {
            let context = access
                .kubecfg_context
                .as_ref()
                .map_or_else(String::new, |name| format!(" with the context `{name}`"));
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("there is no kubeconfig that can be used{context}: {error}"),
            )
            .with_hint(format!(
                "write `{}: {{kubecfg_path: ..}}`, or set KUBECONFIG; does `kubectl get pods` work?",
                access.section
            ))
        };
        let options =
            KubeConfigOptions { context: access.kubecfg_context.clone(), ..KubeConfigOptions::default() };
        let mut kube = match &access.kubecfg_path {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| problem(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| problem(&error))?
            }
            None if access.kubecfg_context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| problem(&error))?
            }
            None => Config::infer().await.map_err(|error| problem(&error))?,
        };
        let namespace = access.namespace.clone().unwrap_or_else(|| kube.default_namespace.clone());
        let address = kube.cluster_url.to_string();
        // Requests are made again by who makes them, and watches by themselves; the client's own would take many minutes.
        kube.default_retry = false;
        let client = Client::try_from(kube).map_err(|error| failure::of(&error, "connect to the cluster"))?;
        Ok(Self { client, namespace, address })
    }

    /// Asks the cluster for its version.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn version(&self) -> Result<Info> {
        let what = format!("ask the cluster at {} for its version", self.address);
        self.client.apiserver_version().await.map_err(|error| failure::of(&error, &what))
    }
}
