//! Instances that are kept, and billed, although no client uses them any more: services with `min_workers`.

use std::time::Duration;

use lithops_activations::KeptUse;
use lithops_core::{
    compute::Leftover,
    error::{ErrorKind, Result},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    admin::{Admin, Api},
    deploy,
};

/// The annotation by which clients say that they use a service with instances that are kept.
const USED: &str = "lithops.used";
/// What a kept instance costs without requests, in US dollars for a vCPU or a GiB and a second, in regions of tier 1
/// (<https://cloud.google.com/run/pricing>).
const IDLE: f64 = 0.0000025;

/// Notes at a service that it is used now. No revision is made of that.
pub(crate) async fn note_use(admin: &Admin, name: &str) -> Result<()> {
    let doing = format!("note that the service `{name}` is used");
    let path = format!("{}/services/{name}", admin.location());
    let mut annotations = admin.get(Api::Run, &path, &doing).await?["annotations"].take();
    annotations[USED] = json!(KeptUse::text());
    let path = format!("{path}?updateMask=annotations");
    let change = json!({"annotations": annotations});
    let operation = admin.call(Api::Run, Method::PATCH, &path, Some(&change), &doing).await?;
    deploy::finish(admin, Api::Run, operation, &doing).await
}

/// The services whose instances no client uses any more.
pub(crate) async fn find(admin: &Admin) -> Result<Vec<Leftover>> {
    Ok(deploy::all(admin).await?.iter().filter_map(|(name, service)| leftover(name, service)).collect())
}

/// Deletes such a service, unless it is used again or gone.
pub(crate) async fn remove(admin: &Admin, leftover: &Leftover) -> Result<()> {
    if !find(admin).await?.iter().any(|found| found.id == leftover.id) {
        return Ok(());
    }
    match deploy::delete(admin, &leftover.id).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn leftover(name: &str, service: &Value) -> Option<Leftover> {
    let template = &service["template"];
    let instances = template["scaling"]["minInstanceCount"].as_u64().filter(|instances| *instances > 0)?;
    let seconds = |text: &Value| text.as_str()?.strip_suffix('s')?.parse().ok();
    let longest = Duration::from_secs(seconds(&template["timeout"]).unwrap_or(3600));
    let unused = KeptUse::unused_for(service["annotations"][USED].as_str(), longest)?;
    let limits = &template["containers"][0]["resources"]["limits"];
    let cpus: f64 = limits["cpu"].as_str()?.parse().ok()?;
    let memory: f64 = limits["memory"].as_str()?.strip_suffix("Mi")?.parse().ok()?;
    Some(Leftover {
        id: name.to_owned(),
        what: format!(
            "a service with `min_workers`: {instances} instances of {cpus} vCPUs and {memory} MB, not used for {} hours",
            unused.as_secs() / 3600
        ),
        fleet: None,
        since: None,
        usd_per_hour: Some(instances as f64 * (cpus + memory / 1024.0) * IDLE * 3600.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(kept: u64, used: Option<&str>) -> Value {
        let mut service = json!({
            "annotations": {"lithops.digest": "0"},
            "template": {
                "scaling": {"minInstanceCount": kept, "maxInstanceCount": 10},
                "timeout": "300s",
                "containers": [{"resources": {"limits": {"cpu": "2", "memory": "4096Mi"}}}],
            },
        });
        if let Some(used) = used {
            service["annotations"][USED] = json!(used);
        }
        service
    }

    #[test]
    fn what_is_kept_for_nobody_is_said_with_its_cost() {
        let found = leftover("lithops-1", &service(3, Some("1700000000"))).expect("it is unused");
        assert!(found.what.contains("3 instances of 2 vCPUs and 4096 MB, not used for"), "{found:?}");
        // Three times 2 vCPUs and 4 GiB, an hour long.
        let cost = found.usd_per_hour.expect("a price");
        assert!((cost - 0.162).abs() < 1e-9, "{cost}");
        assert_eq!(leftover("lithops-1", &service(0, Some("1700000000"))), None, "it costs nothing");
        assert_eq!(leftover("lithops-1", &service(3, Some(&KeptUse::text()))), None, "it is used");
        assert_eq!(leftover("lithops-1", &service(3, None)), None, "nothing is known of it");
    }
}
