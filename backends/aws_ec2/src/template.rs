//! The launch template of a fleet: all that its instances have in common. It lives for as long as instances are being asked
//! for, so that a client that is killed leaves none.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lithops_core::compute::FleetMark;
use serde_json::{Value, json};

use crate::config::{Ec2Config, volumes};

/// The tag of all that belongs to a fleet.
pub(crate) const FLEET: &str = "lithops:fleet";
/// The tag that says in which storage the fleet is to be looked for.
pub(crate) const STORAGE: &str = "lithops:storage";
/// The tag that says which client has made it.
const CLIENT: &str = "lithops:client";

/// What a template is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template<'a> {
    pub(crate) config: &'a Ec2Config,
    pub(crate) fleet: &'a FleetMark,
    pub(crate) role: &'a str,
    pub(crate) security_group: &'a str,
    /// How the image calls its first disk.
    pub(crate) root_device: &'a str,
    pub(crate) script: &'a str,
    pub(crate) client: &'a str,
}

/// The name of the template of a wave.
pub(crate) fn name(fleet: &str, wave: u64) -> String {
    format!("lithops-{fleet}-{wave}")
}

impl Template<'_> {
    /// The parameters of CreateLaunchTemplate.
    pub(crate) fn request(&self, wave: u64) -> Value {
        let name = name(&self.fleet.name, wave);
        json!({
            "ClientToken": name,
            "LaunchTemplateName": name,
            "LaunchTemplateData": self.data(),
            "TagSpecification": [{"ResourceType": "launch-template", "Tag": self.tags()}],
        })
    }

    /// The data of the template, which are parameters of RunInstances too.
    pub(crate) fn data(&self) -> Value {
        let config = self.config;
        let profile = if self.role.starts_with("arn:") { "Arn" } else { "Name" };
        json!({
            "ImageId": config.image(),
            "InstanceInitiatedShutdownBehavior": "terminate",
            "IamInstanceProfile": {profile: self.role},
            "SecurityGroupId": [self.security_group],
            "KeyName": config.key_name,
            "UserData": STANDARD.encode(self.script),
            "BlockDeviceMapping": volumes::request(&config.volumes, &config.root_device, self.root_device),
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "TagSpecification": [
                {"ResourceType": "instance", "Tag": self.tags()},
                {"ResourceType": "volume", "Tag": self.tags()},
            ],
        })
    }

    fn tags(&self) -> Value {
        let FleetMark { name, storage } = self.fleet;
        let own = [("Name", "lithops"), (FLEET, name), (STORAGE, storage), (CLIENT, self.client)];
        let mut tags: BTreeMap<&str, &str> = own.into_iter().collect();
        tags.extend(self.config.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        tags.into_iter().map(|(name, value)| json!({"Key": name, "Value": value})).collect()
    }
}

#[cfg(test)]
mod tests {
    use lithops_cloud_aws::Form;
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    fn form(yaml: &str) -> String {
        let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
        let config = Ec2Config::read(&config).expect("it is right");
        let role = config.instance_role.clone().unwrap_or_default();
        let template = Template {
            config: &config,
            fleet: &FleetMark { name: "f-1".into(), storage: "s-1".into() },
            role: &role,
            security_group: "sg-1",
            root_device: &config.root_device,
            script: "#!/bin/bash\n",
            client: "host 1",
        };
        let form = Form::of(&template.request(3));
        form.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
    }

    #[test]
    fn an_instance_ends_for_good_has_no_open_door_and_an_encrypted_disk() {
        let form = form("aws_ec2: {instance_role: workers, root_disk: 40, tags: {team: x}}");
        for wanted in [
            "LaunchTemplateName=lithops-f-1-3\n",
            "LaunchTemplateData.InstanceInitiatedShutdownBehavior=terminate\n",
            "LaunchTemplateData.IamInstanceProfile.Name=workers\n",
            "LaunchTemplateData.MetadataOptions.HttpTokens=required\n",
            "LaunchTemplateData.MetadataOptions.HttpPutResponseHopLimit=1\n",
            "LaunchTemplateData.BlockDeviceMapping.1.Ebs.Encrypted=true\n",
            "LaunchTemplateData.BlockDeviceMapping.1.Ebs.DeleteOnTermination=true\n",
            "LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize=40\n",
            "LaunchTemplateData.ImageId=resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64\n",
            "LaunchTemplateData.SecurityGroupId.1=sg-1\n",
            "LaunchTemplateData.TagSpecification.1.ResourceType=instance\n",
            ".Tag.3.Key=lithops:fleet\n",
            ".Tag.4.Key=lithops:storage\n",
            ".Tag.5.Key=team\n",
        ] {
            assert!(form.contains(wanted), "{wanted} is missing in\n{form}");
        }
        assert!(!form.contains("KeyName"), "{form}");
        let arn = "arn:aws:iam::1:instance-profile/x";
        let form = self::form(&format!("aws_ec2: {{instance_role: '{arn}'}}"));
        assert!(form.contains(&format!("IamInstanceProfile.Arn={arn}\n")), "{form}");
    }
}
