//! The disks of an instance: the keys `root_disk` and `ebs_volumes`, which has the form of boto3 and of Python Lithops.

use lithops_core::{
    config::{Section, Value},
    error::Result,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A disk, as EC2 is told it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Volume {
    device_name: String,
    /// A disk of the machine itself, such as `ephemeral0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ebs: Option<Ebs>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Ebs {
    delete_on_termination: Option<bool>,
    encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iops: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    throughput: Option<u64>,
    /// In GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_size: Option<u64>,
    volume_type: Option<String>,
}

/// The disks of the section: the first one always, encrypted and as large as the image or `root_disk` has it.
pub(crate) fn read(section: Section<'_>, root_device: &str) -> Result<Vec<Volume>> {
    let mut volumes = match section.get("ebs_volumes").map(|located| &located.value) {
        None => Vec::new(),
        Some(list @ Value::List(_)) => {
            let read = serde_json::to_value(list).and_then(serde_json::from_value::<Vec<Volume>>);
            read.map_err(|error| section.unusable("ebs_volumes", &format!("cannot be read: {error}"), FORM))?
        }
        Some(_) => return Err(section.unusable("ebs_volumes", "is no list of disks", FORM)),
    };
    for volume in &mut volumes {
        volume.complete(section)?;
    }
    let root_disk = section.positive("root_disk")?.map(|gib| gib as u64);
    match volumes.iter().find(|volume| volume.device_name == root_device) {
        Some(root) if root_disk.is_some() && root.gib() > 0 => Err(section.unusable(
            "root_disk",
            &format!("and `ebs_volumes` both say how large {root_device} is"),
            "leave one of the two out",
        )),
        Some(_) => Ok(volumes),
        None => {
            let ebs = Ebs { volume_size: root_disk, ..Ebs::default() };
            let mut root = Volume { device_name: root_device.to_owned(), virtual_name: None, ebs: Some(ebs) };
            root.complete(section)?;
            volumes.insert(0, root);
            Ok(volumes)
        }
    }
}

const FORM: &str = "write `ebs_volumes: [{DeviceName: /dev/xvdb, Ebs: {VolumeSize: 100, VolumeType: gp3}}]`";

impl Volume {
    /// Fills in what every disk has here, and refuses what would outlive the instance or can be read elsewhere.
    fn complete(&mut self, section: Section<'_>) -> Result<()> {
        let device = &self.device_name;
        let Some(ebs) = &mut self.ebs else {
            return match self.virtual_name {
                Some(_) => Ok(()),
                None => Err(section.unusable("ebs_volumes", &format!("does not say what {device} is"), FORM)),
            };
        };
        if ebs.delete_on_termination == Some(false) {
            let problem = format!("keeps {device} when its instance ends, and every disk that stays costs");
            return Err(section.unusable("ebs_volumes", &problem, "leave `DeleteOnTermination` out"));
        }
        if ebs.encrypted == Some(false) {
            let problem = format!("leaves {device} unencrypted");
            return Err(section.unusable("ebs_volumes", &problem, "leave `Encrypted` out"));
        }
        (ebs.delete_on_termination, ebs.encrypted) = (Some(true), Some(true));
        ebs.volume_type.get_or_insert_with(|| "gp3".to_owned());
        Ok(())
    }

    /// How large it is; 0 where its image or snapshot says it.
    fn gib(&self) -> u64 {
        self.ebs.as_ref().and_then(|ebs| ebs.volume_size).unwrap_or(0)
    }
}

/// How large the disks are together, as far as it is written.
pub(crate) fn gib(volumes: &[Volume]) -> u64 {
    volumes.iter().map(Volume::gib).sum()
}

/// The disks as parameters of CreateLaunchTemplate, where the image calls the first one `root` and not `assumed`. Under
/// another name it would be a second disk.
pub(crate) fn request(volumes: &[Volume], assumed: &str, root: &str) -> serde_json::Value {
    let mut volumes = volumes.to_vec();
    if assumed != root {
        let is_said = volumes.iter().any(|volume| volume.device_name == root);
        volumes.retain(|volume| !is_said || volume.device_name != assumed);
        for volume in volumes.iter_mut().filter(|volume| volume.device_name == assumed) {
            root.clone_into(&mut volume.device_name);
        }
    }
    serde_json::to_value(volumes).unwrap_or(json!([]))
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    fn of(yaml: &str) -> Result<Vec<Volume>> {
        let sources = Sources { yaml: Some(format!("aws_ec2: {{{yaml}}}")), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
        read(config.section("aws_ec2"), "/dev/xvda")
    }

    fn of_same(volumes: &[Volume]) -> serde_json::Value {
        request(volumes, "/dev/xvda", "/dev/xvda")
    }

    #[test]
    fn the_first_disk_has_the_name_that_the_image_gives_it() {
        let names = |yaml: &str, root: &str| -> Vec<String> {
            let asked = request(&of(yaml).expect("right"), "/dev/xvda", root);
            let disks = asked.as_array().expect("disks").clone();
            disks.iter().map(|disk| disk["DeviceName"].as_str().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(names("root_disk: 40", "/dev/xvda"), ["/dev/xvda"]);
        assert_eq!(names("root_disk: 40", "/dev/sda1"), ["/dev/sda1"]);
        let more = "ebs_volumes: [{DeviceName: /dev/sda1, Ebs: {VolumeSize: 9}}, {DeviceName: /dev/xvdb, Ebs: {VolumeSize: 9}}]";
        assert_eq!(
            names(more, "/dev/sda1"),
            ["/dev/sda1", "/dev/xvdb"],
            "the configuration has described it"
        );
    }

    #[test]
    fn every_disk_is_encrypted_and_ends_with_its_instance() {
        let disk = |size: Option<u64>| {
            let mut ebs = json!({"DeleteOnTermination": true, "Encrypted": true, "VolumeType": "gp3"});
            if let Some(size) = size {
                ebs["VolumeSize"] = size.into();
            }
            ebs
        };
        assert_eq!(of_same(&of("").expect("right")), json!([{"DeviceName": "/dev/xvda", "Ebs": disk(None)}]));
        let more = of(
            "root_disk: 40, ebs_volumes: [{DeviceName: /dev/xvdb, Ebs: {VolumeSize: 100, DeleteOnTermination: true}}, {DeviceName: /dev/xvdc, VirtualName: ephemeral0}]",
        );
        let more = more.expect("right");
        assert_eq!(gib(&more), 140);
        assert_eq!(
            of_same(&more),
            json!([
                {"DeviceName": "/dev/xvda", "Ebs": disk(Some(40))},
                {"DeviceName": "/dev/xvdb", "Ebs": disk(Some(100))},
                {"DeviceName": "/dev/xvdc", "VirtualName": "ephemeral0"},
            ])
        );
        let root =
            of("ebs_volumes: [{DeviceName: /dev/xvda, Ebs: {VolumeSize: 9, VolumeType: io2, Iops: 400}}]");
        let root = of_same(&root.expect("right"));
        assert_eq!(root[0]["Ebs"]["VolumeType"], "io2");
        assert_eq!((root.as_array().map(Vec::len), &root[0]["Ebs"]["Encrypted"]), (Some(1), &json!(true)));
    }

    #[test]
    fn what_would_stay_or_cannot_be_is_refused() {
        for (yaml, words) in [
            (
                "ebs_volumes: [{DeviceName: /dev/xvdb, Ebs: {DeleteOnTermination: false}}]",
                "every disk that stays",
            ),
            ("ebs_volumes: [{DeviceName: /dev/xvdb, Ebs: {Encrypted: false}}]", "unencrypted"),
            ("ebs_volumes: [{DeviceName: /dev/xvdb}]", "does not say what"),
            ("ebs_volumes: [{DeviceName: /dev/xvdb, Ebs: {Size: 3}}]", "unknown field `Size`"),
            ("ebs_volumes: 100", "no list"),
            ("root_disk: 3, ebs_volumes: [{DeviceName: /dev/xvda, Ebs: {VolumeSize: 9}}]", "both say"),
        ] {
            let error = of(yaml).expect_err(yaml).to_string();
            assert!(error.contains(words), "{yaml}: {error}");
        }
    }
}
