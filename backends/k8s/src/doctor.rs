//! The checks of `lithops doctor`: the cluster first, because without it nothing else can be asked.

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    batch::v1::Job,
    core::v1::{Namespace, Node},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use lithops_core::{
    compute::{Check, Severity},
    error::Error,
};

use crate::{K8sBackend, client::Cluster, config::K8sConfig, failure, image, manifest};

/// The rights that a client needs, as a manifest.
const RBAC: &str = include_str!("../rbac.yaml");

/// The same rights, as they are asked for: group, resource, verbs.
const RIGHTS: &[(&str, &str, &[&str])] = &[
    ("batch", "jobs", &["create", "get", "list", "watch", "patch", "delete"]),
    ("", "pods", &["list", "watch"]),
    ("", "events", &["list"]),
];
/// The right that is needed only where the storage has credentials of its own.
const SECRETS: (&str, &str, &[&str]) = ("", "secrets", &["create"]);

/// All findings, good and bad.
pub(crate) async fn check(backend: &K8sBackend) -> Vec<Check> {
    let mut found = vec![storage(backend)];
    let cluster = match Cluster::connect(&backend.config).await {
        Ok(cluster) => cluster,
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    };
    match cluster.version().await {
        Ok(version) => {
            found.push(fine(format!("the cluster at {} is Kubernetes {version}", cluster.address)))
        }
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    }
    found.push(namespace(&cluster).await);
    found.push(rights(backend, &cluster).await);
    found.push(nodes(&backend.config, &cluster).await);
    found.extend(image::check(&backend.config).await);
    found.push(leftovers(&cluster).await);
    found.push(fine(format!("whoever runs jobs needs no more than this Role:\n{RBAC}")));
    found
}

/// Pods have another loopback: a storage there is none of theirs.
fn storage(backend: &K8sBackend) -> Check {
    let Some((storage, locator)) = &backend.storage else {
        return fine("there is no storage to check".into());
    };
    let scheme = storage.info().scheme;
    let endpoint = locator.endpoint.as_deref().unwrap_or_default();
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let is_here = ["localhost", "127.", "[::1]"].iter().any(|here| host.starts_with(here));
    let can_open = {
        let all = &backend.config.capabilities.storages;
        all.is_empty() || all.iter().any(|name| name == scheme)
    };
    match (can_open, is_here) {
        (false, _) => Check {
            finding: format!("workers in pods cannot open the storage `{scheme}`"),
            severity: Severity::Error,
            remedy: Some(
                "use one that both can reach: `lithops: {storage: aws_s3}`, `minio`, `ceph` or `redis`"
                    .into(),
            ),
        },
        (true, true) => Check {
            finding: format!("the storage `{scheme}` is at {endpoint}, which in a pod is the pod itself"),
            severity: Severity::Error,
            remedy: Some("write an address that pods can reach".into()),
        },
        (true, false) => fine(format!("the storage `{scheme}` has the bucket `{}`", storage.bucket())),
    }
}

async fn namespace(cluster: &Cluster) -> Check {
    let name = &cluster.namespace;
    match Api::<Namespace>::all(cluster.client.clone()).get(name).await {
        Ok(namespace) => {
            let level = namespace.labels().get("pod-security.kubernetes.io/enforce");
            let level = level.map_or("no level of pod security is enforced", String::as_str);
            fine(format!("the namespace `{name}` exists ({level}); pods keep the level `restricted`"))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            fine(format!("the namespace is `{name}`; there is no right to look at it"))
        }
        Err(error) => bad(&failure::of(&error, &format!("find the namespace `{name}`"))),
    }
}

async fn rights(backend: &K8sBackend, cluster: &Cluster) -> Check {
    let secrets = backend.has_secrets().then_some(&SECRETS);
    let mut missing = Vec::new();
    for (group, resource, verbs) in RIGHTS.iter().chain(secrets) {
        for verb in *verbs {
            match may(cluster, group, resource, verb).await {
                Ok(true) => {}
                Ok(false) => missing.push(format!("{verb} {resource}")),
                Err(error) => return bad(&failure::of(&error, "ask for the rights")),
            }
        }
    }
    if missing.is_empty() {
        return fine(format!("all rights that are needed in `{}` are there", cluster.namespace));
    }
    Check {
        finding: format!(
            "rights are missing in the namespace `{}`: {}",
            cluster.namespace,
            missing.join(", ")
        ),
        severity: Severity::Error,
        remedy: Some("let an administrator bind the Role below".into()),
    }
}

async fn may(cluster: &Cluster, group: &str, resource: &str, verb: &str) -> Result<bool, kube::Error> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                namespace: Some(cluster.namespace.clone()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await?;
    Ok(reviewed.status.is_some_and(|status| status.allowed))
}

/// Whether any node could take a worker, if it were empty.
async fn nodes(config: &K8sConfig, cluster: &Cluster) -> Check {
    let nodes = match Api::<Node>::all(cluster.client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return fine(
                "there is no right to list the nodes: whether one can take a worker is not known".into(),
            );
        }
        Err(error) => return bad(&failure::of(&error, "list the nodes")),
    };
    let (cpus, memory, arch) = (config.pod.cpus, config.pod.memory, manifest::arch(config));
    let fitting = nodes.iter().filter(|node| takes(node, cpus, memory, arch)).count();
    let worker = format!("a worker with {cpus} CPUs and {memory} MiB on {arch}");
    if fitting > 0 {
        return fine(format!("{fitting} of {} nodes could take {worker}", nodes.len()));
    }
    Check {
        finding: format!("none of the {} nodes could take {worker}, even if it were empty", nodes.len()),
        severity: Severity::Warning,
        remedy: Some(
            "write less in `runtime_cpu` and `runtime_memory`, or let an autoscaler add nodes that are larger".into(),
        ),
    }
}

fn takes(node: &Node, cpus: f64, memory: u64, arch: &str) -> bool {
    let is_arch = node.labels().get("kubernetes.io/arch").is_none_or(|of| of == arch);
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let of = |name: &str| allocatable.and_then(|all| all.get(name)).and_then(|quantity| amount(&quantity.0));
    let mebibytes = 1024.0 * 1024.0;
    is_arch
        && of("cpu").is_none_or(|all| all >= cpus)
        && of("memory").is_none_or(|all| all >= memory as f64 * mebibytes)
}

/// A quantity such as `3900m`, `16`, `24Gi` or `16377144Ki`.
fn amount(quantity: &str) -> Option<f64> {
    let digits = quantity.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let times = match &quantity[digits.len()..] {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * times)
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

pub(crate) fn fine(finding: String) -> Check {
    Check { finding, severity: Severity::Fine, remedy: None }
}

pub(crate) fn bad(error: &Error) -> Check {
    Check {
        finding: error.message().to_owned(),
        severity: Severity::Error,
        remedy: error.hint().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, wanted) in
            [("3900m", 3.9), ("16", 16.0), ("2Ki", 2048.0), ("1Gi", 1073741824.0), ("1.5G", 1.5e9)]
        {
            assert!(amount(text).is_some_and(|found| (found - wanted).abs() < 1e-6), "{text}");
        }
        assert_eq!(amount("12Xi"), None);
    }

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
