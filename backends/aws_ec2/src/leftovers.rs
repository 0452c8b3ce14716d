//! What EC2 has of all fleets: instances and launch templates, by their tags.

use std::time::SystemTime;

use lithops_core::{
    compute::{FleetMark, Leftover},
    error::Result,
};

use crate::{
    AwsEc2Backend,
    api::{answers::Instance, ec2::Ec2, failure, time},
    config::prices::SpotMarket,
    template::{FLEET, STORAGE},
};

/// The instances that live or were stopped, and the templates that are there.
///
/// # Errors
/// When EC2 cannot be asked.
pub(crate) async fn find(backend: &AwsEc2Backend, ec2: &Ec2) -> Result<Vec<Leftover>> {
    let instances = ec2.instances(None).await;
    let mut instances = instances.map_err(|error| failure::of(error, "list the instances of fleets"))?;
    instances.retain(|one| one.is_live() || one.is_stopped());
    let market = match instances.iter().any(Instance::is_spot) {
        true => market(backend, ec2).await,
        false => SpotMarket::default(),
    };
    let instance = |one: &Instance| Leftover {
        id: one.instance_id.clone(),
        what: format!("{} instance {}, {}", one.market(), one.instance_type, one.state()),
        fleet: Some(mark(|key| one.tag(key))),
        since: time::parsed(&one.launch_time),
        usd_per_hour: Some(match one.is_stopped() {
            // Its disks alone.
            true => backend.config.capabilities.price.disk_hour_usd,
            false => backend.config.hour_usd(one, Some(&market)),
        }),
    };
    let templates = ec2.templates().await;
    let templates = templates.map_err(|error| failure::of(error, "list the launch templates of fleets"))?;
    let template = templates.iter().map(|one| Leftover {
        id: one.launch_template_name.clone(),
        what: "launch template".to_owned(),
        fleet: Some(mark(|key| one.tag(key))),
        since: time::parsed(&one.create_time),
        usd_per_hour: Some(0.0),
    });
    Ok(instances.iter().map(instance).chain(template).collect())
}

/// Ends an instance, or deletes a template.
///
/// # Errors
/// When EC2 refuses it.
pub(crate) async fn remove(ec2: &Ec2, leftover: &Leftover) -> Result<()> {
    let id = &leftover.id;
    if id.starts_with("i-") {
        let ended = ec2.terminate(std::slice::from_ref(id)).await.map(drop);
        return ended.map_err(|error| failure::of(error, &format!("end the instance `{id}`")));
    }
    let deleted = ec2.delete_template(id).await;
    deleted.map_err(|error| failure::of(error, &format!("delete the launch template `{id}`")))
}

/// The fleet that something belongs to, by its tags.
fn mark<'a>(tag: impl Fn(&str) -> Option<&'a str>) -> FleetMark {
    let of = |key: &str| tag(key).unwrap_or_default().to_owned();
    FleetMark { name: of(FLEET), storage: of(STORAGE) }
}

async fn market(backend: &AwsEc2Backend, ec2: &Ec2) -> SpotMarket {
    let prices = ec2.spot_prices(&backend.config.types, &time::timestamp(SystemTime::now())).await;
    // An estimate says enough here.
    prices.map_or_else(|_| SpotMarket::default(), |prices| SpotMarket::of(&prices))
}
