//! How many instances the quotas of the region allow, as the Service Usage API says it.

use lithops_core::{
    compute::{Capabilities, Check, Severity},
    error::Result,
};
use serde_json::Value;

use crate::admin::{Admin, Api};

/// What is limited, with how much of it one vCPU or one MiB is.
const METRICS: [(&str, Unit); 2] = [
    ("run.googleapis.com/cpu_allocation", Unit { name: "vCPUs", of_one: 1000.0 }),
    ("run.googleapis.com/mem_allocation", Unit { name: "MiB of memory", of_one: 1_048_576.0 }),
];

#[derive(Debug, Clone, Copy)]
struct Unit {
    name: &'static str,
    of_one: f64,
}

/// Compares the quotas with the instances that a job may have.
pub(crate) async fn check(admin: &Admin, capabilities: &Capabilities, max_workers: usize) -> Check {
    let wanted = [capabilities.worker_cpus, capabilities.worker_memory as f64];
    for ((metric, unit), each) in METRICS.into_iter().zip(wanted) {
        match limit(admin, metric).await {
            Ok(None) => {}
            Ok(Some(limit)) => {
                let has = limit / unit.of_one;
                let instances = (has / each).floor();
                if instances < max_workers as f64 {
                    return too_few(admin, &format!("{has} {}", unit.name), instances, max_workers);
                }
            }
            Err(error) => {
                return Check {
                    finding: format!("the quotas are not known: {}", error.message()),
                    severity: Severity::Warning,
                    remedy: Some(
                        "`roles/serviceusage.serviceUsageConsumer` may read them, and the Service Usage API must be on; jobs \
                         run without that"
                            .to_owned(),
                    ),
                };
            }
        }
    }
    Check {
        finding: format!("the quotas of {} are enough for {max_workers} instances", admin.region),
        severity: Severity::Fine,
        remedy: None,
    }
}

fn too_few(admin: &Admin, has: &str, instances: f64, max_workers: usize) -> Check {
    Check {
        finding: format!(
            "{} gives the project {has}, which is {instances} instances, and `max_workers` is {max_workers}: Cloud Run does \
             not deploy that",
            admin.region
        ),
        severity: Severity::Warning,
        remedy: Some(format!(
            "write `max_workers: {instances}`, take smaller instances, or ask for more at \
             https://console.cloud.google.com/iam-admin/quotas?project={}",
            admin.project
        )),
    }
}

/// The limit of a metric in the region; `None` where there is none.
async fn limit(admin: &Admin, metric: &str) -> Result<Option<f64>> {
    let path = format!(
        "projects/{}/services/run.googleapis.com/consumerQuotaMetrics/{}",
        admin.project,
        metric.replace('/', "%2F")
    );
    let found = admin.get(Api::Quotas, &path, &format!("look at the quota `{metric}`")).await?;
    Ok(in_region(&found, &admin.region))
}

/// The limit that counts in a region: its own, or that of all regions which have none of their own.
fn in_region(metric: &Value, region: &str) -> Option<f64> {
    let limits = metric["consumerQuotaLimits"].as_array()?.iter();
    let buckets: Vec<_> = limits.filter_map(|limit| limit["quotaBuckets"].as_array()).flatten().collect();
    let own = buckets.iter().find(|bucket| bucket["dimensions"]["region"] == region);
    let of_all =
        || buckets.iter().find(|bucket| bucket["dimensions"].as_object().is_none_or(|all| all.is_empty()));
    // Numbers of 64 bits are texts in JSON.
    let limit: f64 = own.or_else(of_all)?["effectiveLimit"].as_str()?.parse().ok()?;
    // -1 means that there is no limit.
    (limit >= 0.0).then_some(limit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_limit_of_the_region_comes_before_that_of_all() {
        let metric = json!({
            "metric": "run.googleapis.com/cpu_allocation",
            "consumerQuotaLimits": [{"unit": "1/{project}/{region}", "quotaBuckets": [
                {"effectiveLimit": "20000", "defaultLimit": "20000"},
                {"effectiveLimit": "200000", "dimensions": {"region": "us-east1"}},
                {"effectiveLimit": "-1", "dimensions": {"region": "europe-west1"}},
            ]}],
        });
        assert_eq!(in_region(&metric, "us-east1"), Some(200_000.0));
        assert_eq!(in_region(&metric, "asia-east1"), Some(20_000.0));
        assert_eq!(in_region(&metric, "europe-west1"), None);
        assert_eq!(in_region(&json!({}), "us-east1"), None);
    }
}
