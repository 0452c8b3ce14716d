//! The Secret that opens the storage, where the pods' identity does not.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use lithops_core::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
    protocol::Secrets,
};
use lithops_kubernetes::{Cluster, failure};
use serde_json::json;

use crate::manifest::{MANAGED_BY, RUNTIME};

/// The file in it.
pub(crate) const FILE: &str = "storage.json";

/// The name of the Secret: that of the storage that it opens, so that all Services with this storage share it.
///
/// # Errors
/// When the place of the storage cannot be encoded.
pub(crate) fn name(secrets: &Secrets) -> Result<String> {
    let place = serde_json::to_vec(&secrets.storage).map_err(|error| {
        Error::new(ErrorKind::Unexpected, format!("cannot encode the place of the storage: {error}"))
    })?;
    Ok(format!("lithops-storage-{}", &Digest::of(&place).to_string()[..20]))
}

/// Creates the Secret, or gives it the present credentials.
///
/// # Errors
/// When the cluster refuses it.
pub(crate) async fn apply(cluster: &Cluster, secrets: &Secrets) -> Result<()> {
    let name = name(secrets)?;
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "labels": {RUNTIME: env!("CARGO_PKG_VERSION"), MANAGED_BY: "lithops"}},
        "stringData": {FILE: secrets.to_json()?},
    });
    let all: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let applied = all.patch(&name, &PatchParams::apply("lithops").force(), &Patch::Apply(&manifest)).await;
    applied.map(drop).map_err(|error| failure::of(&error, &format!("create the Secret `{name}`")))
}
