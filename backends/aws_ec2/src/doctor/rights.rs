//! Whether EC2 would allow what a job asks for: dry runs, which start nothing.

use lithops_cloud_aws::ServiceError;
use lithops_core::compute::{Check, FleetMark, Severity};
use serde_json::{Value, json};

use super::findings::{bad, fine, problem};
use crate::{
    AwsEc2Backend,
    api::{ec2::Ec2, failure},
    backend,
    config::Ec2Config,
    template::Template,
};

/// An id that no instance has.
const NO_INSTANCE: &str = "i-00000000000000000";
/// A name that no template of a fleet has.
const NO_TEMPLATE: &str = "lithops-doctor";

/// Tries each action, and the start of each type.
pub(super) async fn rights(backend: &AwsEc2Backend, ec2: &Ec2) -> Vec<Check> {
    let config = &backend.config;
    let Some(role) = config.instance_role.as_deref() else { return Vec::new() };
    let subnets = match ec2.subnets(&config.subnets, config.vpc.as_deref()).await {
        Ok(subnets) if !subnets.is_empty() => subnets,
        // The network is looked at apart.
        _ => return Vec::new(),
    };
    let group = match &config.security_group {
        Some(group) => Some(group.clone()),
        None => ec2.security_group(backend::SECURITY_GROUP, &subnets[0].vpc_id).await.ok().flatten(),
    };
    let mut tried = vec![
        ("CreateLaunchTemplate", String::new(), template(config, role, group.as_deref())),
        ("CreateFleet", String::new(), fleet(config)),
        ("TerminateInstances", String::new(), json!({"InstanceId": [NO_INSTANCE]})),
    ];
    for name in &config.types {
        let request = run(config, role, group.as_deref(), (name, &subnets[0].subnet_id));
        tried.push(("RunInstances", format!(" of {name}"), request));
    }
    if group.is_none() {
        let request = json!({
            "GroupName": backend::SECURITY_GROUP,
            "GroupDescription": "lithops",
            "VpcId": subnets[0].vpc_id,
        });
        tried.push(("CreateSecurityGroup", String::new(), request));
    }
    let (mut allowed, mut found) = (Vec::new(), Vec::new());
    for (action, of, request) in tried {
        match ec2.try_dry(action, &request).await {
            Ok(()) => allowed.push(format!("{action}{of}")),
            // EC2 looks at rights before it looks for what a request names.
            Err(error) if names_nothing(&error) => allowed.push(format!("{action}{of}")),
            Err(error) => found.push(refusal(error, &format!("{action}{of}"))),
        }
    }
    if !allowed.is_empty() {
        found.push(fine(format!("dry runs are allowed: {}", allowed.join(", "))));
    }
    found
}

fn names_nothing(error: &ServiceError) -> bool {
    error.code.starts_with("InvalidInstanceID") || error.code.starts_with("InvalidLaunchTemplate")
}

fn refusal(error: ServiceError, action: &str) -> Check {
    let is_denied = error.code == "UnauthorizedOperation";
    let error = failure::of(error, &format!("{action}, as a dry run says"));
    if is_denied || error.hint().is_some() {
        return bad(&error);
    }
    problem(error.message().to_owned(), Severity::Warning, "a job would be told the same")
}

fn data(config: &Ec2Config, role: &str, group: Option<&str>) -> Value {
    let mark = FleetMark { name: "doctor".to_owned(), storage: "doctor".to_owned() };
    let template = Template {
        config,
        fleet: &mark,
        role,
        security_group: group.unwrap_or_default(),
        root_device: &config.root_device,
        script: "#!/bin/bash\nshutdown -h now\n",
        client: "doctor",
    };
    let mut data = template.data();
    if group.is_none() {
        data["SecurityGroupId"] = Value::Null;
    }
    data
}

fn template(config: &Ec2Config, role: &str, group: Option<&str>) -> Value {
    json!({"LaunchTemplateName": NO_TEMPLATE, "LaunchTemplateData": data(config, role, group)})
}

fn fleet(config: &Ec2Config) -> Value {
    json!({
        "Type": "instant",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        "LaunchTemplateConfigs": [{
            "LaunchTemplateSpecification": {"LaunchTemplateName": NO_TEMPLATE, "Version": "$Latest"},
            "Overrides": [{"InstanceType": config.types.first()}],
        }],
    })
}

/// Passing the role, the image, the subnet and the type are parts of RunInstances.
fn run(config: &Ec2Config, role: &str, group: Option<&str>, (name, subnet): (&str, &str)) -> Value {
    let mut request = data(config, role, group);
    // Disks are no question of rights: the image says how large its own is.
    request["BlockDeviceMapping"] = Value::Null;
    request["MinCount"] = 1.into();
    request["MaxCount"] = 1.into();
    request["InstanceType"] = name.into();
    request["SubnetId"] = subnet.into();
    request
}
