//! The least permissions of the client and of the instances, as policies of IAM.

use lithops_cloud_aws::{allow, bucket_access, pass_role, policy};
use serde_json::{Value, json};

use crate::{
    config::{Ec2Config, Spot},
    template::FLEET,
};

/// The permissions of a user who runs jobs.
pub(crate) fn client_policy(config: &Ec2Config, account: &str, bucket: Option<&str>) -> Value {
    let role = config.instance_role.as_deref().filter(|role| !role.starts_with("arn:")).unwrap_or("NAME");
    // The role of an instance profile mostly bears its name.
    let role = format!("arn:aws:iam::{account}:role/{role}");
    let mut ours =
        allow("Fleets", &["ec2:DeleteLaunchTemplate", "ec2:GetConsoleOutput", "ec2:TerminateInstances"], "*");
    ours["Condition"] = json!({"Null": {format!("ec2:ResourceTag/{FLEET}"): "false"}});
    let mut tags = allow("Tags", &["ec2:CreateTags"], "*");
    tags["Condition"] = json!({
        "StringEquals": {"ec2:CreateAction": ["CreateFleet", "CreateLaunchTemplate", "RunInstances"]}
    });
    let mut statements = vec![
        allow("Instances", &["ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:RunInstances"], "*"),
        ours,
        tags,
        allow(
            "Look",
            &[
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeRouteTables",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSpotPriceHistory",
                "ec2:DescribeSubnets",
                "servicequotas:GetServiceQuota",
            ],
            "*",
        ),
        pass_role(&role, "ec2.amazonaws.com"),
    ];
    if let Some(parameter) = config.image().strip_prefix("resolve:ssm:") {
        let parameters = match parameter.strip_prefix("/aws/service/ami-") {
            Some(_) => "arn:aws:ssm:*::parameter/aws/service/ami-*".to_owned(),
            None => format!("arn:aws:ssm:*:*:parameter{parameter}"),
        };
        statements.push(allow("Parameter", &["ssm:GetParameters", "ssm:GetParameter"], parameters));
    }
    if config.ami.is_some() {
        statements.push(allow("Image", &["ec2:DescribeImages"], "*"));
    }
    if config.spot != Spot::Never {
        // Needed once for an account: EC2 makes it with the first spot instance.
        let role = "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot";
        let mut spot = allow("SpotRole", &["iam:CreateServiceLinkedRole"], role);
        spot["Condition"] = json!({"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}});
        statements.push(spot);
    }
    if config.security_group.is_none() {
        // Needed once: it may be made by hand as well.
        statements.push(allow("SecurityGroup", &["ec2:CreateSecurityGroup"], "*"));
    }
    statements.extend(bucket.map(bucket_access).into_iter().flatten());
    policy(statements)
}

/// The permissions of the role of the instances: the bucket, and nothing else.
pub(crate) fn role_policy(bucket: Option<&str>) -> Value {
    policy(bucket.map(bucket_access).into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    #[test]
    fn instances_that_are_not_ours_cannot_be_ended() {
        let config = Ec2Config::read(&Config::default()).expect("defaults fit");
        let policy = client_policy(&config, "1", Some("jobs"));
        let statements = policy["Statement"].as_array().expect("statements");
        let may_end = statements.iter().filter(|one| one.to_string().contains("ec2:TerminateInstances"));
        let may_end: Vec<_> = may_end.collect();
        assert_eq!(may_end.len(), 1);
        assert_eq!(may_end[0]["Condition"]["Null"]["ec2:ResourceTag/lithops:fleet"], "false");
        let role = role_policy(Some("jobs")).to_string();
        assert!(!role.contains("ec2:") && !role.contains("iam:"), "{role}");
    }

    #[test]
    fn a_policy_has_what_the_configuration_needs() {
        let policy = |section: &str| {
            let sources = Sources { yaml: Some(format!("aws_ec2: {{{section}}}")), file: None };
            let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
            client_policy(&Ec2Config::read(&config).expect("it is right"), "1", None).to_string()
        };
        let all = policy("");
        for part in ["iam:CreateServiceLinkedRole", "parameter/aws/service/ami-*", "ec2:CreateSecurityGroup"]
        {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(!all.contains("ec2:DescribeImages"), "{all}");
        let other = policy(
            "request_spot_instances: false, security_group_id: sg-1, target_ami: 'resolve:ssm:/my/image'",
        );
        assert!(other.contains("arn:aws:ssm:*:*:parameter/my/image"), "{other}");
        assert!(other.contains("ec2:DescribeImages"), "{other}");
        assert!(
            !other.contains("CreateServiceLinkedRole") && !other.contains("CreateSecurityGroup"),
            "{other}"
        );
    }
}
