//! The checks of `lithops doctor`: the cluster first, because without it nothing else can be asked.

use kube::ResourceExt;
use lithops_core::compute::{Check, Severity};
use lithops_kubernetes::{
    Cluster,
    checks::{Right, bad, fine, namespace, nodes, rights, storage},
};

use crate::{
    KnativeBackend,
    config::Routing,
    deploy,
    route::leads_nowhere,
    state::{ServiceState, of_service},
};

/// The rights that a client needs, as a manifest.
const RBAC: &str = include_str!("../rbac.yaml");

/// The same rights, as they are asked for.
const RIGHTS: &[Right] = &[
    ("serving.knative.dev", "services", &["create", "get", "list", "patch", "delete"]),
    ("", "pods", &["list"]),
];
/// The right that is needed only where the storage has credentials of its own.
const SECRETS: Right = ("", "secrets", &["create", "patch"]);

/// All findings, good and bad.
pub(crate) async fn check(backend: &KnativeBackend) -> Vec<Check> {
    let config = &backend.config;
    let capabilities = match config.capabilities(None) {
        Ok(capabilities) => capabilities,
        Err(error) => return vec![bad(&error)],
    };
    let mut found = vec![storage(backend.storage.as_ref(), &capabilities)];
    let cluster = match Cluster::connect(&config.access).await {
        Ok(cluster) => cluster,
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    };
    match cluster.version().await {
        Ok(version) => {
            found.push(fine(format!(
                "the cluster at {} is Kubernetes {}",
                cluster.address, version.git_version
            )));
        }
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    }
    found.push(namespace(&cluster).await);
    found.extend(services(&cluster, &config.routing).await);
    let secrets = backend.has_secrets().then_some(SECRETS);
    let needed: Vec<_> = RIGHTS.iter().copied().chain(secrets).collect();
    found.push(rights(&cluster, &needed).await);
    let (cpus, memory) = (capabilities.worker_cpus, capabilities.worker_memory);
    found.push(nodes(&cluster, cpus, memory, config.images.arch()).await);
    found.push(fine(match &config.routing {
        Routing::Service => "requests go to the URL of each Service".to_owned(),
        Routing::Ingress(ingress, _) => format!("requests go to the ingress at {ingress}"),
        Routing::Activator(activator) => format!("requests go to the activator at {activator}"),
    }));
    found.extend(config.images.check().await);
    found.push(fine(format!("whoever runs jobs needs no more than this Role:\n{RBAC}")));
    found
}

/// Whether there is Knative, and which of its Services are of lithops.
async fn services(cluster: &Cluster, routing: &Routing) -> Vec<Check> {
    let all = match deploy::all(cluster).await {
        Ok(all) => all,
        Err(error) => return vec![bad(&error)],
    };
    let mut found = vec![fine(format!(
        "the cluster has Knative Serving, with {} Services of lithops in the namespace: `lithops runtime list`",
        all.len()
    ))];
    let urls = || all.iter().filter_map(|service| service.data["status"]["url"].as_str());
    if matches!(routing, Routing::Service)
        && let Some(error) = urls().find_map(leads_nowhere)
    {
        found.push(bad(&error));
    }
    for service in all {
        if let ServiceState::Failed(words) = of_service(&service, false) {
            found.push(Check {
                finding: format!("the Service `{}` cannot run: {words}", service.name_any()),
                severity: Severity::Warning,
                remedy: Some(format!("`lithops runtime delete {}` removes it", service.name_any())),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_that_are_asked_for_are_those_of_the_manifest() {
        for (group, resource, verbs) in RIGHTS.iter().chain([&SECRETS]) {
            let group = if group.is_empty() { "\"\"" } else { group };
            let rule = format!(
                "  - apiGroups: [{group}]\n    resources: [{resource}]\n    verbs: [{}]\n",
                verbs.join(", ")
            );
            assert!(RBAC.contains(&rule), "{rule}");
        }
        assert_eq!(RBAC.matches("apiGroups").count(), RIGHTS.len() + 1);
    }
}
