//! The Jobs of all fleets in the namespace that have not ended, of this client and of others.

use std::time::{Duration, UNIX_EPOCH};

use k8s_openapi::api::{batch::v1::Job, core::v1::Container};
use kube::{Api, ResourceExt, api::ListParams};
use lithops_core::{
    compute::{FleetMark, Leftover, Price},
    error::{Error, ErrorKind, Result, Retry},
    protocol::Launch,
};
use lithops_kubernetes::{Cluster, checks::amount, failure};

use crate::{
    manifest::{CLIENT, CONTAINER, FLEET},
    waves::ANSWER,
};

/// The Jobs of all fleets in the namespace that have not ended.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub(crate) async fn find(cluster: &Cluster, price: &Price) -> Result<Vec<Leftover>> {
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let ours = ListParams::default().labels(FLEET);
    let listed = tokio::time::timeout(ANSWER, jobs.list(&ours)).await;
    let late = |_| Error::new(ErrorKind::Timeout, "the cluster lists no Jobs").with_retry(Retry::Later);
    let listed = listed.map_err(late)?.map_err(|error| failure::of(&error, "list the Jobs"))?;
    Ok(listed.items.iter().filter_map(|job| leftover(job, price)).collect())
}

/// A Job of a fleet; `None` if it has ended, or is being deleted, or says nothing of a fleet.
fn leftover(job: &Job, price: &Price) -> Option<Leftover> {
    let status = job.status.clone().unwrap_or_default();
    let is_over = |kind: &str| matches!(kind, "Complete" | "Failed");
    let conditions = status.conditions.unwrap_or_default();
    let has_ended =
        conditions.iter().any(|condition| is_over(&condition.type_) && condition.status == "True");
    if has_ended || job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    let container = pod.containers.iter().find(|container| container.name == CONTAINER)?;
    let variables = container.env.iter().flatten();
    let document = variables.clone().find(|variable| variable.name == Launch::VARIABLE)?.value.as_deref()?;
    let (cpus, memory) = (of(container, "cpu")?, of(container, "memory")? / f64::from(1 << 20));
    // Pods that wait for a node cost nothing.
    let (pods, running) = (status.active.unwrap_or(0), status.ready.unwrap_or(0));
    let hourly = price.second_usd(memory as u64, cpus) * 3600.0 * f64::from(running);
    let client = job.annotations().get(CLIENT).map_or("an unknown client", String::as_str);
    let created = job.metadata.creation_timestamp.as_ref();
    let created = created.and_then(|time| u64::try_from(time.0.as_second()).ok());
    Some(Leftover {
        id: job.name_any(),
        what: format!(
            "a Job with {pods} pods of {cpus} CPUs and {memory:.0} MiB, of which {running} run, for {client}"
        ),
        fleet: Some(FleetMark::of_document(document)?),
        since: created.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        // The cluster does not tell its price; where none is configured, none is known.
        usd_per_hour: (!price.is_free()).then_some(hourly),
    })
}

/// How much of something a container may use.
fn of(container: &Container, resource: &str) -> Option<f64> {
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    amount(&limits.get(resource)?.0)
}

#[cfg(test)]
mod tests {
    use lithops_core::{protocol::SignKey, storage::Locator};
    use serde_json::{Value, json};

    use super::*;

    fn job(change: impl FnOnce(&mut Value)) -> (Job, FleetMark) {
        let verify = SignKey::generate().expect("a key").verify_key();
        let launch = Launch::new("0197b1c0-fleet", verify, Locator::new("minio", "bucket"));
        let mut job: Value =
            serde_json::from_str(include_str!("manifest/job.golden.json")).expect("a manifest");
        job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] =
            launch.to_json().expect("text").into();
        job["metadata"]["creationTimestamp"] = "2026-11-30T00:00:00Z".into();
        job["status"] = json!({"active": 25, "ready": 20});
        change(&mut job);
        (serde_json::from_value(job).expect("a Job"), FleetMark::of(&launch))
    }

    fn price() -> Price {
        let mut price = Price::default();
        (price.vcpu_second_usd, price.gb_second_usd) = (0.00001, 0.000001);
        price
    }

    #[test]
    fn a_job_is_of_its_fleet_and_costs_what_its_running_pods_cost() {
        let (job, mark) = job(|_| {});
        let left = leftover(&job, &price()).expect("it has not ended");
        assert_eq!(left.id, job.name_any());
        assert_eq!(left.fleet, Some(mark));
        assert!(left.what.starts_with("a Job with 25 pods of 4 CPUs and 4096 MiB"), "{}", left.what);
        let cost = left.usd_per_hour.expect("a price");
        assert!((cost - 20.0 * 3600.0 * (4.0 * 0.00001 + 4.0 * 0.000001)).abs() < 1e-9, "{cost}");
        assert_eq!(left.since, Some(UNIX_EPOCH + Duration::from_secs(1_795_996_800)));
        assert_eq!(leftover(&job, &Price::default()).expect("it has not ended").usd_per_hour, None);
    }

    #[test]
    fn jobs_that_have_ended_or_are_not_ours_are_none() {
        let none = |change: fn(&mut Value)| assert_eq!(leftover(&job(change).0, &price()), None);
        for kind in ["Complete", "Failed"] {
            let condition = json!([{"type": kind, "status": "True"}]);
            let (job, _) = job(|job| job["status"]["conditions"] = condition);
            assert_eq!(leftover(&job, &price()), None, "{kind}");
        }
        none(|job| job["metadata"]["deletionTimestamp"] = "2026-11-30T00:00:00Z".into());
        none(|job| job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "{}".into());
        none(|job| job["spec"]["template"]["spec"]["containers"][0]["name"] = "another".into());
        let (job, _) =
            job(|job| job["status"] = json!({"conditions": [{"type": "Suspended", "status": "True"}]}));
        assert!(leftover(&job, &price()).is_some(), "its pods would still be started");
    }
}
