//! The checks of `lithops doctor`: the cluster first, because without it nothing else can be asked.

use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::ListParams};
use lithops_core::compute::Check;
use lithops_kubernetes::{
    Cluster,
    checks::{Right, bad, fine, namespace, nodes, rights, storage},
    failure,
};

use crate::{K8sBackend, manifest, version};

/// The rights that a client needs, as a manifest.
const RBAC: &str = include_str!("../../rbac.yaml");

/// The same rights, as they are asked for: group, resource, verbs.
const RIGHTS: &[Right] = &[
    ("batch", "jobs", &["create", "get", "list", "watch", "patch", "delete"]),
    ("", "pods", &["list", "watch"]),
    ("", "events", &["list"]),
];
/// The rights that are needed only where workers are fed.
const FORWARD: Right = ("", "pods/portforward", &["create", "get"]);
/// The right that is needed only where storage or registry have credentials of their own.
const SECRETS: Right = ("", "secrets", &["create"]);

/// All findings of what can be asked without a pod, good and bad.
pub(crate) async fn check(backend: &K8sBackend) -> Vec<Check> {
    let mut found = vec![storage(backend.storage.as_ref(), &backend.config.capabilities)];
    let cluster = match Cluster::connect(&backend.config.access).await {
        Ok(cluster) => cluster,
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    };
    match version::check(&cluster).await {
        Ok(version) => {
            found.push(fine(format!("the cluster at {} is Kubernetes {version}", cluster.address)))
        }
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    }
    let pod = &backend.config.pod;
    found.push(namespace(&cluster).await);
    found.push(rights(&cluster, &needed(backend)).await);
    found.push(nodes(&cluster, pod.cpus, pod.memory, backend.config.images.arch()).await);
    found.extend(backend.config.images.check().await);
    found.push(leftovers(&cluster).await);
    found.push(fine(format!("whoever runs jobs needs no more than this Role:\n{RBAC}")));
    found
}

fn needed(backend: &K8sBackend) -> Vec<Right> {
    let capabilities = &backend.config.capabilities;
    let pulls =
        backend.config.pod.pull_secrets.is_empty() && backend.config.images.registry.login().is_some();
    let secrets = (backend.secrets().is_some() && capabilities.pull.is_some() || pulls).then_some(SECRETS);
    let forward = capabilities.feed.then_some(FORWARD);
    RIGHTS.iter().copied().chain(secrets).chain(forward).collect()
}

async fn leftovers(cluster: &Cluster) -> Check {
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let ours = ListParams::default().labels(manifest::FLEET);
    match jobs.list(&ours).await {
        Ok(jobs) => {
            let lives = |job: &&Job| job.status.as_ref().is_some_and(|status| status.active.unwrap_or(0) > 0);
            let (all, live) = (jobs.items.len(), jobs.items.iter().filter(lives).count());
            fine(format!(
                "{all} Jobs of lithops are in the namespace, {live} of them with live workers: `kubectl get jobs -l {}`",
                manifest::FLEET
            ))
        }
        Err(error) => bad(&failure::of(&error, "list the Jobs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_that_are_asked_for_are_those_of_the_manifest() {
        for (group, resource, verbs) in RIGHTS.iter().chain([&SECRETS, &FORWARD]) {
            let group = if group.is_empty() { "\"\"" } else { group };
            let rule = format!(
                "  - apiGroups: [{group}]\n    resources: [{resource}]\n    verbs: [{}]\n",
                verbs.join(", ")
            );
            assert!(RBAC.contains(&rule), "{rule}");
        }
        assert_eq!(RBAC.matches("apiGroups").count(), RIGHTS.len() + 2);
    }
}
