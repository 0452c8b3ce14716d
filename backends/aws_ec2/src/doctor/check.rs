//! All findings: credentials first, because without them nothing else can be asked.

use lithops_cloud_aws::{Form, Service, ServiceError};
use lithops_core::{
    artifact::BinaryRequirements,
    compute::{Check, Severity},
};
use serde::Deserialize;

use super::{
    findings::{bad, fine, problem},
    fleets, market, network, rights,
};
use crate::{
    AwsEc2Backend,
    api::{ec2::Ec2, failure},
    config::Ec2Config,
    image,
    policy::{client_policy, role_policy},
    program,
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
    found.push(image(config, ec2).await);
    found.push(types(config, ec2).await);
    found.extend(network::network(config, ec2).await);
    found.extend(rights::rights(backend, ec2).await);
    found.extend(market::quotas(backend, ec2.region()).await);
    found.push(market::price(backend, ec2).await);
    found.push(fleets::fleets(config, ec2).await);
    found.push(fleets::templates(ec2).await);
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

async fn image(config: &Ec2Config, ec2: &Ec2) -> Check {
    let named = match image::id(config, ec2.region()).await {
        Ok((id, Some(parameter))) => format!("{id}, by the parameter {parameter}"),
        Ok((id, None)) => id,
        Err(error) => return bad(&error),
    };
    if config.ami.is_none() {
        return fine(format!("the image is {named}"));
    }
    match image::of(config, ec2).await {
        Ok(image) => fine(format!(
            "the image is {named} ({}, {}, boots from {}): it must have systemd, `aws` and a new enough C library",
            image.name, image.architecture, image.root_device_name
        )),
        Err(error) => bad(&error),
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
