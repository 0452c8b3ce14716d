//! What lives of all fleets, and what it costs.

use lithops_core::compute::Check;

use super::findings::{bad, fine};
use crate::{
    api::{answers::Instance, ec2::Ec2, failure},
    config::Ec2Config,
    template::FLEET,
};

/// The instances of all fleets.
pub(super) async fn fleets(config: &Ec2Config, ec2: &Ec2) -> Check {
    let instances = match ec2.instances(None).await {
        Ok(instances) => instances,
        Err(error) => return bad(&failure::of(error, "list the instances of fleets")),
    };
    let live: Vec<&Instance> = instances.iter().filter(|one| one.is_live()).collect();
    if live.is_empty() {
        return fine("no instance of a fleet runs".into());
    }
    let said: Vec<_> = live
        .iter()
        .take(10)
        .map(|one| {
            let (market, usd) = (one.market(), config.hour_usd(one, None));
            let fleet = one.tag(FLEET).unwrap_or_default();
            format!(
                "{} ({}, {market}, since {}, about ${usd:.4} an hour, fleet {fleet})",
                one.instance_id, one.instance_type, one.launch_time
            )
        })
        .collect();
    fine(format!(
        "{} instances of fleets run, and `lithops clean` ends those whose clients are gone: {}",
        live.len(),
        said.join(", ")
    ))
}

/// The launch templates of all fleets.
pub(super) async fn templates(ec2: &Ec2) -> Check {
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
