//! Pods that are kept although no client uses them any more: Services with `min_workers`.

use std::time::Duration;

use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use lithops_activations::KeptUse;
use lithops_core::{
    compute::{Leftover, RuntimeId},
    error::{ErrorKind, Result},
};
use lithops_kubernetes::Cluster;
use serde_json::json;

use crate::{deploy, kinds::services};

/// The annotation by which clients say that they use a Service with pods that are kept.
const USED: &str = "lithops/used";

/// Notes at a Service that it is used now. No Revision is made of that.
pub(crate) async fn note_use(cluster: &Cluster, name: &str) -> Result<()> {
    let change = json!({"metadata": {"annotations": {USED: KeptUse::text()}}});
    let noted = services(cluster).patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
    noted
        .map(drop)
        .map_err(|error| deploy::failed(&error, &format!("note that the Service `{name}` is used")))
}

/// The Services whose pods no client uses any more.
pub(crate) async fn find(cluster: &Cluster) -> Result<Vec<Leftover>> {
    Ok(deploy::all(cluster).await?.iter().filter_map(leftover).collect())
}

/// Deletes such a Service, unless it is used again or gone.
pub(crate) async fn remove(cluster: &Cluster, leftover: &Leftover) -> Result<()> {
    if !find(cluster).await?.iter().any(|found| found.id == leftover.id) {
        return Ok(());
    }
    match deploy::delete(cluster, &RuntimeId(leftover.id.clone())).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn leftover(service: &DynamicObject) -> Option<Leftover> {
    let template = &service.data["spec"]["template"];
    let kept = &template["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"];
    let pods: u64 = kept.as_str()?.parse().ok().filter(|pods| *pods > 0)?;
    let longest = Duration::from_secs(template["spec"]["timeoutSeconds"].as_u64().unwrap_or(3600));
    let unused = KeptUse::unused_for(service.annotations().get(USED).map(String::as_str), longest)?;
    let requests = &template["spec"]["containers"][0]["resources"]["requests"];
    let text = |name: &str| requests[name].as_str().unwrap_or("?").to_owned();
    Some(Leftover {
        id: service.name_any(),
        what: format!(
            "a Service with `min_workers`: {pods} pods of {} CPUs and {} of memory, not used for {} hours",
            text("cpu"),
            text("memory"),
            unused.as_secs() / 3600
        ),
        fleet: None,
        since: None,
        // The cluster does not tell what its nodes cost.
        usd_per_hour: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_nobody_is_listed_and_nothing_else() {
        let service = |kept: &str, used: Option<&str>| {
            let mut service = json!({
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "metadata": {"name": "lithops-1", "annotations": {}},
                "spec": {"template": {
                    "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": kept}},
                    "spec": {
                        "timeoutSeconds": 600,
                        "containers": [{"resources": {"requests": {"cpu": "500m", "memory": "512Mi"}}}],
                    },
                }},
            });
            if let Some(used) = used {
                service["metadata"]["annotations"][USED] = json!(used);
            }
            serde_json::from_value::<DynamicObject>(service).expect("an object")
        };
        let found = leftover(&service("2", Some("1700000000"))).expect("it is unused");
        assert_eq!(found.id, "lithops-1");
        assert!(found.what.contains("2 pods of 500m CPUs and 512Mi of memory, not used for"), "{found:?}");
        assert_eq!(leftover(&service("0", Some("1700000000"))), None, "its pods go by themselves");
        assert_eq!(leftover(&service("2", Some(&KeptUse::text()))), None, "it is used");
        assert_eq!(leftover(&service("2", None)), None, "nothing is known of it");
    }
}
