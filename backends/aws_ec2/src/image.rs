//! The image of the instances: which one a parameter names, and what EC2 knows of it.

use lithops_cloud_aws::{Service, ServiceError};
use lithops_core::{
    artifact::Machine,
    error::{Error, ErrorKind, Result},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::{answers::ImageInfo, ec2::Ec2, failure},
    config::Ec2Config,
};

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

/// The id of the image, and the parameter that names it, if one does.
///
/// # Errors
/// The parameter cannot be read.
pub(crate) async fn id(config: &Ec2Config, region: &str) -> Result<(String, Option<String>)> {
    let image = config.image();
    let Some(parameter) = image.strip_prefix("resolve:ssm:") else { return Ok((image, None)) };
    let ssm = Service::new("ssm", "2014-11-06", region, &config.access)?;
    let asked = ssm.call_json::<Parameter>("AmazonSSM.GetParameter", &json!({"Name": parameter})).await;
    let found = asked.map_err(|error| {
        failure::of(error, &format!("read the parameter {parameter} that names the image"))
    })?;
    Ok((found.parameter.value, Some(parameter.to_owned())))
}

/// What EC2 knows of the image, which must be for the processor of the types.
///
/// # Errors
/// There is no such image in the region, or it is for another processor.
pub(crate) async fn of(config: &Ec2Config, ec2: &Ec2) -> Result<ImageInfo> {
    let (id, _) = id(config, ec2.region()).await?;
    let found = ec2.image(&id).await.and_then(|image| match image.root_device_name.is_empty() {
        true => {
            Err(ServiceError::said("InvalidAMIID.Malformed", &format!("`{id}` has no disk to boot from")))
        }
        false => Ok(image),
    });
    let image = found.map_err(|error| failure::of(error, "look at the image"))?;
    fits(&image, config.machine)?;
    Ok(image)
}

fn fits(image: &ImageInfo, machine: Machine) -> Result<()> {
    let wanted = if machine == Machine::Arm64 { "arm64" } else { "x86_64" };
    if image.architecture.is_empty() || image.architecture == wanted {
        return Ok(());
    }
    let ImageInfo { image_id, name, architecture, .. } = image;
    let problem = format!(
        "the image {image_id} ({name}) is for {architecture}, and the types of instances are {wanted}"
    );
    Err(Error::new(ErrorKind::ConfigInvalid, problem)
        .with_hint("name another `target_ami`, or types of the other processor in `worker_instance_type`")
        .with_context("key", "aws_ec2.target_ami"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_for_another_processor_is_refused_before_anything_is_started() {
        let image = ImageInfo {
            image_id: "ami-1".into(),
            name: "ubuntu-24.04".into(),
            architecture: "arm64".into(),
            root_device_name: "/dev/sda1".into(),
        };
        fits(&image, Machine::Arm64).expect("it is right");
        let error = fits(&image, Machine::X86_64).expect_err("another processor").to_string();
        assert!(
            error.contains("ami-1 (ubuntu-24.04) is for arm64") && error.contains("`target_ami`"),
            "{error}"
        );
    }
}
