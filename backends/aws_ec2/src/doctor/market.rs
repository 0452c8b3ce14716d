//! What instances cost, and whether the account may have as many as a job may ask for.

use std::time::SystemTime;

use lithops_cloud_aws::Service;
use lithops_core::compute::{Check, Severity};
use serde::Deserialize;
use serde_json::json;

use super::findings::{bad, fine, problem};
use crate::{
    AwsEc2Backend,
    api::{ec2::Ec2, failure, time::timestamp},
    config::{Ec2Config, Spot, class, prices::SpotMarket},
};

/// The quotas of vCPUs, by the class of types: spot, and on demand.
const QUOTAS: &[(&[&str], &str, &str)] = &[
    (&["g", "gr", "vt"], "L-3819A6DF", "L-DB2E81BA"),
    (&["p"], "L-7212CCBC", "L-417A185B"),
    (&["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"], "L-34B43A08", "L-1216C47A"),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QuotaAnswer {
    quota: Quota,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Quota {
    value: f64,
}

/// What an hour of all workers costs.
pub(super) async fn price(backend: &AwsEc2Backend, ec2: &Ec2) -> Check {
    let config = &backend.config;
    let most = backend.max_workers;
    let of_all = |usd: f64| format!("{:.2} USD for an hour of all {most}", usd * most as f64);
    let on_demand = config.types.first().and_then(|name| config.prices.on_demand(name));
    let on_demand = on_demand.unwrap_or(config.capabilities.price.worker_hour_usd);
    if config.spot == Spot::Never {
        return fine(format!("an instance costs {on_demand} USD an hour on demand, {}", of_all(on_demand)));
    }
    match ec2.spot_prices(&config.types, &timestamp(SystemTime::now())).await {
        Ok(prices) => match SpotMarket::of(&prices).lowest() {
            Some((instance_type, zone, usd)) => fine(format!(
                "a spot instance costs {usd} USD an hour now ({instance_type} in {zone}), {}; {on_demand} on demand; plans \
                 count with {:.4} with its address and disks (`spot_share`)",
                of_all(usd),
                config.capabilities.second_usd() * 3600.0
            )),
            None => fine("the market says no price of spot instances".into()),
        },
        Err(error) => problem(
            failure::of(error, "ask what spot instances cost").message().to_owned(),
            Severity::Warning,
            "jobs run all the same; the plan and the bill count with an estimate",
        ),
    }
}

/// Whether the quotas of vCPUs are large enough for all workers.
pub(super) async fn quotas(backend: &AwsEc2Backend, region: &str) -> Vec<Check> {
    let config = &backend.config;
    let Some((spot, on_demand)) = codes(config) else {
        return vec![fine("which quota of vCPUs counts for these types is not known here".into())];
    };
    let quotas = match Service::new("servicequotas", "2019-06-24", region, &config.access) {
        Ok(quotas) => quotas,
        Err(error) => return vec![bad(&error)],
    };
    let codes: &[_] = match config.spot {
        Spot::First => &[(spot, "spot instances"), (on_demand, "instances on demand")],
        Spot::Only => &[(spot, "spot instances")],
        Spot::Never => &[(on_demand, "instances on demand")],
    };
    let mut found = Vec::new();
    for (code, market) in codes {
        let asked = json!({"ServiceCode": "ec2", "QuotaCode": code});
        let answer = quotas.call_json::<QuotaAnswer>("ServiceQuotasV20190624.GetServiceQuota", &asked).await;
        found.push(match answer {
            Ok(answer) => enough(backend, code, market, answer.quota.value),
            Err(error) => problem(
                failure::of(error, &format!("ask for the quota {code} of {market}")).message().to_owned(),
                Severity::Warning,
                "jobs run all the same; a quota that is too small shows in what workers wait for",
            ),
        });
    }
    found
}

fn enough(backend: &AwsEc2Backend, code: &str, market: &str, quota: f64) -> Check {
    let needed = backend.max_workers as f64 * backend.config.capabilities.worker_cpus;
    let finding = format!(
        "the quota {code} allows {quota} vCPUs of {market}, and {} workers have {needed}",
        backend.max_workers
    );
    if quota >= needed {
        return fine(finding);
    }
    let workers = (quota / backend.config.capabilities.worker_cpus).floor();
    problem(
        finding,
        Severity::Warning,
        &format!(
            "write `max_workers: {workers}`, or ask for more: `aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} --desired-value {needed}`"
        ),
    )
}

/// The quotas that count for the types; `None` where they are of several classes, or of an unknown one.
fn codes(config: &Ec2Config) -> Option<(&'static str, &'static str)> {
    let of = |name: &String| {
        QUOTAS
            .iter()
            .find(|(classes, ..)| classes.contains(&class(name)))
            .map(|(_, spot, rest)| (*spot, *rest))
    };
    let first = config.types.first().and_then(of)?;
    config.types.iter().all(|name| of(name) == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    #[test]
    fn each_class_of_types_has_its_quotas() {
        for (types, wanted) in [
            ("[c7i.large, m7i.large]", Some(("L-34B43A08", "L-1216C47A"))),
            ("g5.xlarge", Some(("L-3819A6DF", "L-DB2E81BA"))),
        ] {
            let sources =
                Sources { yaml: Some(format!("aws_ec2: {{worker_instance_type: {types}}}")), file: None };
            let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
            assert_eq!(codes(&Ec2Config::read(&config).expect("it is right")), wanted, "{types}");
        }
    }
}
