//! The checks of `lithops doctor`: credentials first, because without them nothing else can be asked.

use std::time::{Duration, SystemTime};

use lithops_cloud_aws::{Form, Service, ServiceError};
use lithops_core::{
    artifact::BinaryRequirements,
    compute::{Check, Severity},
    error::Error,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    AwsEc2Backend,
    backend::SECURITY_GROUP,
    config::{Ec2Config, Spot},
    ec2::{Ec2, Instance, Subnet},
    failure,
    policy::{client_policy, role_policy},
    program,
    template::FLEET,
};

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Identity {
    get_caller_identity_result: IdentityResult,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct IdentityResult {
    account: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    parameter: ParameterValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ParameterValue {
    value: String,
}

/// All findings, good and bad.
pub(crate) async fn check(backend: &AwsEc2Backend) -> Vec<Check> {
    let config = &backend.config;
    let mut found = vec![storage(backend), program(backend).await, role(config)];
    let ec2 = match backend.ec2().await {
        Ok(ec2) => ec2,
        Err(error) => {
            found.push(bad(&error));
            return found;
        }
    };
    let account = match account(config, ec2.region()).await {
        Ok(account) => account,
        Err(error) => {
            found.push(bad(&failure::of(error, "ask whose the credentials are")));
            return found;
        }
    };
    found.push(fine(format!("the credentials are of account {account}, the region is {}", ec2.region())));
    found.push(image(config, ec2.region()).await);
    found.push(types(config, ec2).await);
    found.extend(network(config, ec2).await);
    found.push(price(backend, ec2).await);
    found.push(fleets(ec2).await);
    found.push(templates(ec2).await);
    found.extend(bucket(backend, ec2.region()).await);
    let bucket = backend.storage.as_ref().map(|(storage, _)| storage.bucket());
    for (who, policy) in [
        ("the user who runs jobs", client_policy(config, &account, bucket)),
        ("the role of the instances", role_policy(bucket)),
    ] {
        found.push(fine(format!("{who} needs no more than this policy: {policy}")));
    }
    found
}

fn storage(backend: &AwsEc2Backend) -> Check {
    let Some((storage, locator)) = &backend.storage else {
        return fine("there is no storage to check".into());
    };
    let scheme = storage.info().scheme;
    if !backend.config.capabilities.opens(scheme) {
        let finding = format!("instances cannot open the storage `{scheme}` as their role");
        return problem(finding, Severity::Error, "use a bucket of S3: `lithops: {storage: aws_s3}`");
    }
    match &locator.endpoint {
        Some(endpoint) => problem(
            format!("the storage is at {endpoint}, which instances must reach too"),
            Severity::Warning,
            "leave `endpoint` out for S3 itself",
        ),
        None => fine(format!("the storage is the bucket `{}` of S3", storage.bucket())),
    }
}

async fn program(backend: &AwsEc2Backend) -> Check {
    let path = backend.config.artifact.as_ref().unwrap_or(&backend.program.path).display().to_string();
    match program::read(&backend.config, &backend.program).await {
        Ok(artifact) => {
            let needs = BinaryRequirements::of(&artifact.bytes, &path).ok().and_then(|needs| needs.glibc);
            let needs = needs.map_or_else(String::new, |glibc| format!(", needs glibc {glibc} or newer"));
            fine(format!(
                "`{path}` is what instances run: {} KiB for {}{needs}",
                artifact.bytes.len() >> 10,
                backend.config.machine
            ))
        }
        Err(error) => bad(&error),
    }
}

fn role(config: &Ec2Config) -> Check {
    match &config.instance_role {
        Some(role) => fine(format!("instances open S3 as the instance profile `{role}`")),
        None => bad(&crate::fleet::no_role()),
    }
}

async fn account(config: &Ec2Config, region: &str) -> Result<String, ServiceError> {
    let sts = Service::new("sts", "2011-06-15", region, &config.access);
    let sts = sts.map_err(|error| ServiceError::said("NoCredentials", error.message()))?;
    let identity: Identity = sts.call("GetCallerIdentity", &Form::new()).await?;
    Ok(identity.get_caller_identity_result.account)
}

async fn image(config: &Ec2Config, region: &str) -> Check {
    let parameter = match &config.ami {
        Some(ami) => match ami.strip_prefix("resolve:ssm:") {
            Some(parameter) => parameter.to_owned(),
            None => {
                return fine(format!(
                    "the image is {ami}: it must have systemd, `aws` and a new enough C library"
                ));
            }
        },
        None => config.parameter(),
    };
    let ssm = match Service::new("ssm", "2014-11-06", region, &config.access) {
        Ok(ssm) => ssm,
        Err(error) => return bad(&error),
    };
    let asked = ssm.call_json::<Parameter>("AmazonSSM.GetParameter", &json!({"Name": parameter})).await;
    match asked {
        Ok(found) => fine(format!("the image is {}, by the parameter {parameter}", found.parameter.value)),
        Err(error) => {
            bad(&failure::of(error, &format!("read the parameter {parameter} that names the image")))
        }
    }
}

async fn types(config: &Ec2Config, ec2: &Ec2) -> Check {
    let found = match ec2.types(&config.types).await {
        Ok(found) => found,
        Err(error) => return bad(&failure::of(error, "look at the types of instances")),
    };
    let wanted = config.capabilities.worker_cpus as usize;
    if let Some(other) = found.iter().find(|one| one.vcpus() != wanted) {
        let finding =
            format!("`{}` has {} vCPUs, and {wanted} are counted with", other.instance_type, other.vcpus());
        return problem(
            finding,
            Severity::Error,
            "write them: `aws_ec2: {capabilities: {vcpus: {count: ..}}}`",
        );
    }
    let names: Vec<_> = found.iter().map(|one| one.instance_type.as_str()).collect();
    fine(format!("each worker is one of {} with {wanted} vCPUs", names.join(", ")))
}

async fn network(config: &Ec2Config, ec2: &Ec2) -> Vec<Check> {
    let subnets = match ec2.subnets(&config.subnets, config.vpc.as_deref()).await {
        Ok(subnets) => subnets,
        Err(error) => return vec![bad(&failure::of(error, "look at the subnets"))],
    };
    let Some(Subnet { vpc_id, .. }) = subnets.first() else {
        return vec![problem(
            format!("there is no subnet for instances in {}", ec2.region()),
            Severity::Error,
            "name some in `subnet_ids`, or make the default network: `aws ec2 create-default-vpc`",
        )];
    };
    let zones: Vec<_> = subnets.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
    let mut found =
        vec![fine(format!("instances are in {} subnets of {vpc_id}: {}", zones.len(), zones.join(", ")))];
    if let Some(private) = subnets.iter().find(|subnet| !subnet.map_public_ip_on_launch) {
        found.push(problem(
            format!("the subnet {} gives instances no public address", private.subnet_id),
            Severity::Warning,
            "S3 must be reached through a gateway endpoint (free) or a NAT gateway",
        ));
    }
    if config.security_group.is_none() {
        found.push(match ec2.security_group(SECURITY_GROUP, vpc_id).await {
            Ok(Some(group)) => fine(format!("the security group `{SECURITY_GROUP}` is {group}")),
            Ok(None) => fine(format!(
                "the security group `{SECURITY_GROUP}` is made with the first job: nothing is let in"
            )),
            Err(error) => bad(&failure::of(error, "look for the security group")),
        });
    }
    found
}

async fn price(backend: &AwsEc2Backend, ec2: &Ec2) -> Check {
    let config = &backend.config;
    let most = backend.max_workers;
    let of_all = |usd: f64| format!("{:.2} USD for an hour of all {most}", usd * most as f64);
    if config.spot == Spot::Never {
        let usd = config.on_demand_usd;
        return fine(format!("an instance costs {usd} USD an hour on demand, {}", of_all(usd)));
    }
    match ec2.spot_prices(&config.types, &timestamp(SystemTime::now())).await {
        Ok(prices) => {
            let priced = prices.iter().filter_map(|one| Some((one.spot_price.parse::<f64>().ok()?, one)));
            match priced.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
                Some((usd, cheapest)) => fine(format!(
                    "a spot instance costs {usd} USD an hour now ({} in {}), {}; {} on demand",
                    cheapest.instance_type,
                    cheapest.availability_zone,
                    of_all(usd),
                    config.on_demand_usd
                )),
                None => fine("the market says no price of spot instances".into()),
            }
        }
        Err(error) => problem(
            failure::of(error, "ask what spot instances cost").message().to_owned(),
            Severity::Warning,
            "jobs run all the same; the plan counts with an estimate",
        ),
    }
}

/// What lives of all fleets, and what it costs.
async fn fleets(ec2: &Ec2) -> Check {
    let instances = match ec2.instances(None).await {
        Ok(instances) => instances,
        Err(error) => return bad(&failure::of(error, "list the instances of fleets")),
    };
    let live: Vec<&Instance> =
        instances.iter().filter(|one| matches!(one.state(), "pending" | "running")).collect();
    if live.is_empty() {
        return fine("no instance of a fleet runs".into());
    }
    let said: Vec<_> = live
        .iter()
        .take(10)
        .map(|one| {
            let market = if one.is_spot() { "spot" } else { "on demand" };
            let fleet = one.tag(FLEET).unwrap_or_default();
            format!(
                "{} ({}, {market}, since {}, fleet {fleet})",
                one.instance_id, one.instance_type, one.launch_time
            )
        })
        .collect();
    fine(format!("{} instances of fleets run: {}", live.len(), said.join(", ")))
}

async fn templates(ec2: &Ec2) -> Check {
    match ec2.templates().await {
        Ok(templates) if templates.is_empty() => fine("no launch template is left".into()),
        Ok(templates) => {
            let names: Vec<_> = templates
                .iter()
                .map(|one| format!("{} of {}", one.launch_template_name, one.create_time))
                .collect();
            fine(format!(
                "launch templates of clients that start instances now, or were killed doing so: {}",
                names.join(", ")
            ))
        }
        Err(error) => bad(&failure::of(error, "list the launch templates")),
    }
}

async fn bucket(backend: &AwsEc2Backend, region: &str) -> Option<Check> {
    let (storage, locator) = backend.storage.as_ref()?;
    let programs = storage.list_keys(storage.bucket(), lithops_core::storage::own_keys::PROGRAMS).await;
    Some(match (programs, locator.region.as_deref()) {
        (Err(error), _) => bad(&error),
        (Ok(_), Some(other)) if other != region && locator.endpoint.is_none() => problem(
            format!("the bucket is in {other}, and instances are in {region}"),
            Severity::Warning,
            "use a bucket of the same region: others are slower, and cost by the gigabyte",
        ),
        (Ok(programs), _) => {
            let count = programs.iter().filter(|key| key.ends_with(".gz")).count();
            fine(format!(
                "the bucket `{}` can be read, {count} programs for instances lie there",
                storage.bucket()
            ))
        }
    })
}

/// A time as AWS writes it, in UTC.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, of_day) = (seconds / 86400, seconds % 86400);
    // The calendar begins in March, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn fine(finding: String) -> Check {
    Check { finding, severity: Severity::Fine, remedy: None }
}

fn problem(finding: String, severity: Severity, remedy: &str) -> Check {
    Check { finding, severity, remedy: Some(remedy.to_owned()) }
}

fn bad(error: &Error) -> Check {
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
    fn times_are_those_of_the_calendar() {
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_796_083_199, "2026-11-30T23:59:59Z"),
        ] {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), wanted);
        }
    }
}
