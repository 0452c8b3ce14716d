//! Parts of the checks of `lithops doctor`.

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::{Namespace, Node},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use lithops_core::{
    compute::{Capabilities, Check, Severity},
    error::Error,
    storage::{Locator, StorageClient},
};

use crate::{cluster::Cluster, failure};

/// Rights that a client needs: the group of a resource, the resource, and the verbs.
pub type Right = (&'static str, &'static str, &'static [&'static str]);

/// Pods have another loopback: a storage there is none of theirs.
#[must_use]
pub fn storage(storage: Option<&(StorageClient, Locator)>, capabilities: &Capabilities) -> Check {
    let Some((storage, locator)) = storage else {
        return fine("there is no storage to check".into());
    };
    let scheme = storage.info().scheme;
    let endpoint = locator.endpoint.as_deref().unwrap_or_default();
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let is_here = ["localhost", "127.", "[::1]"].iter().any(|here| host.starts_with(here));
    match (capabilities.opens(scheme), is_here) {
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

/// Whether the namespace is there.
pub async fn namespace(cluster: &Cluster) -> Check {
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

/// Whether the client has rights: group, resource, verbs.
pub async fn rights(cluster: &Cluster, rights: &[Right]) -> Check {
    let mut missing = Vec::new();
    for (group, resource, verbs) in rights {
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
    // What belongs to an object, such as its log, is named behind it.
    let (resource, part) =
        resource.split_once('/').map_or((resource, None), |(name, part)| (name, Some(part)));
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                namespace: Some(cluster.namespace.clone()),
                resource: Some(resource.to_owned()),
                subresource: part.map(str::to_owned),
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
pub async fn nodes(cluster: &Cluster, cpus: f64, memory: u64, arch: &str) -> Check {
    let nodes = match Api::<Node>::all(cluster.client.clone()).list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return fine(
                "there is no right to list the nodes: whether one can take a worker is not known".into(),
            );
        }
        Err(error) => return bad(&failure::of(&error, "list the nodes")),
    };
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

/// A quantity as Kubernetes writes it, such as `3900m`, `16`, `24Gi` or `16377144Ki`; `None` if it is none.
#[must_use]
pub fn amount(quantity: &str) -> Option<f64> {
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

/// A finding that is no problem.
#[must_use]
pub fn fine(finding: String) -> Check {
    Check { finding, severity: Severity::Fine, remedy: None }
}

/// A finding that keeps jobs from running.
#[must_use]
pub fn bad(error: &Error) -> Check {
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
}
