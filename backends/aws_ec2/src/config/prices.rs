//! What an hour of an instance costs: by its type, by how it was bought and in which zone, with its address and its disks.

use std::collections::BTreeMap;

use lithops_core::{
    compute::{Price, Spot},
    config::Section,
    error::{Error, ErrorKind, Result},
};
use serde::Deserialize;

use crate::api::answers::{Instance, SpotPrice};

/// What is known of disks, as data.
const DISKS: &str = include_str!("../../market.json");
const HOURS_OF_A_MONTH: f64 = 730.0;

/// What an hour of an instance costs, by the data and the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prices {
    /// US dollars for an hour on demand, by type; the first is the one that plans count with.
    on_demand: Vec<(String, f64)>,
    /// What a spot instance costs beside one on demand.
    spot_share: f64,
    address_hour_usd: f64,
    disk_hour_usd: f64,
}

#[derive(Deserialize)]
struct Disks {
    gib_month_usd: f64,
}

/// US dollars for an hour of this many GiB of disk.
///
/// # Errors
/// The data of the crate cannot be read.
pub(crate) fn disk_hour_usd(gib: u64) -> Result<f64> {
    let disks: Disks = serde_json::from_str(DISKS).map_err(|error| {
        Error::new(ErrorKind::Unexpected, format!("the data of disks cannot be read: {error}"))
    })?;
    Ok(gib as f64 * disks.gib_month_usd / HOURS_OF_A_MONTH)
}

/// What spot instances save, by the data or by the key `spot_share`.
///
/// # Errors
/// The configuration names an impossible share.
pub(crate) fn spot(section: Section<'_>, known: Option<Spot>) -> Result<Option<Spot>> {
    let Some(share) = section.number("spot_share")? else { return Ok(known) };
    if !(0.0..=1.0).contains(&share) {
        return Err(section.unusable("spot_share", &format!("is {share}"), "write a number from 0 to 1"));
    }
    Ok(known.map(|spot| Spot { discount: 1.0 - share, ..spot }))
}

impl Prices {
    /// Those of these types, with what plans count with beside them.
    pub(crate) fn new(on_demand: Vec<(String, f64)>, price: &Price, spot: Option<Spot>) -> Self {
        let spot_share = 1.0 - spot.map_or(0.0, |spot| spot.discount);
        let (address_hour_usd, disk_hour_usd) = (price.address_hour_usd, price.disk_hour_usd);
        Self { on_demand, spot_share, address_hour_usd, disk_hour_usd }
    }

    /// What an instance of a type costs on demand, without its address and disks.
    pub(crate) fn on_demand(&self, instance_type: &str) -> Option<f64> {
        let known = self.on_demand.iter().find(|(name, _)| name == instance_type);
        known.or(self.on_demand.first()).map(|(_, usd)| *usd)
    }

    /// What an instance costs; `market` is what spot instances cost now, where that is known.
    pub(crate) fn of(&self, instance: &Instance, market: Option<&SpotMarket>) -> f64 {
        let on_demand = self.on_demand(&instance.instance_type).unwrap_or_default();
        let machine = if instance.is_spot() {
            let price = market.and_then(|market| market.price(&instance.instance_type, instance.zone()));
            price.unwrap_or(on_demand * self.spot_share)
        } else {
            on_demand
        };
        machine + self.extras(instance)
    }

    /// What the address and the disks of an instance cost.
    pub(crate) fn extras(&self, instance: &Instance) -> f64 {
        let address = if instance.has_address() { self.address_hour_usd } else { 0.0 };
        address + self.disk_hour_usd
    }
}

/// What spot instances cost, as EC2 has said it: by type and zone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpotMarket(BTreeMap<(String, String), f64>);

impl SpotMarket {
    pub(crate) fn of(said: &[SpotPrice]) -> Self {
        let price = |one: &SpotPrice| {
            let place = (one.instance_type.clone(), one.availability_zone.clone());
            Some((place, one.spot_price.parse().ok()?))
        };
        Self(said.iter().filter_map(price).collect())
    }

    fn price(&self, instance_type: &str, zone: &str) -> Option<f64> {
        self.0.get(&(instance_type.to_owned(), zone.to_owned())).copied()
    }

    /// The lowest price, with its type and zone.
    pub(crate) fn lowest(&self) -> Option<(&str, &str, f64)> {
        let lowest = self.0.iter().min_by(|(_, a), (_, b)| a.total_cmp(b));
        lowest.map(|((instance_type, zone), usd)| (instance_type.as_str(), zone.as_str(), *usd))
    }
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    fn is_near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    const SPOT: Spot = Spot { discount: 0.6, interrupted_per_hour: 0.1 };

    #[test]
    fn an_instance_costs_what_its_type_its_market_its_zone_its_address_and_its_disks_cost() {
        let disk = disk_hour_usd(730).expect("the data are right");
        let mut price = Price::default();
        (price.address_hour_usd, price.disk_hour_usd) = (0.005, disk);
        let types = vec![("a.large".to_owned(), 0.1), ("b.large".to_owned(), 0.2)];
        let prices = Prices::new(types, &price, Some(SPOT));
        let said = |instance_type: &str, zone: &str, usd: &str| SpotPrice {
            instance_type: instance_type.into(),
            spot_price: usd.into(),
            availability_zone: zone.into(),
        };
        let market = SpotMarket::of(&[
            said("a.large", "x", "0.03"),
            said("a.large", "y", "0.02"),
            said("b.large", "x", "?"),
        ]);
        let of = |instance_type: &str, lifecycle: &str, zone: &str, address: &str| {
            prices.of(&Instance::running(instance_type, lifecycle, zone, address), Some(&market))
        };
        assert!(is_near(disk, 0.08));
        assert!(is_near(of("a.large", "spot", "x", ""), 0.03 + disk));
        assert!(is_near(of("a.large", "spot", "y", "1.2.3.4"), 0.02 + 0.005 + disk));
        assert!(is_near(of("b.large", "spot", "x", ""), 0.2 * 0.4 + disk), "the market does not say it");
        assert!(is_near(of("b.large", "", "x", ""), 0.2 + disk));
        assert_eq!(market.lowest(), Some(("a.large", "y", 0.02)));
    }

    #[test]
    fn the_share_of_plans_is_a_key() {
        let of = |yaml: &str, known| {
            let sources = Sources { yaml: Some(format!("aws_ec2: {{{yaml}}}")), file: None };
            let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
            spot(config.section("aws_ec2"), known)
        };
        assert_eq!(of("", Some(SPOT)).expect("it is right"), Some(SPOT));
        let said = of("spot_share: 0.25", Some(SPOT)).expect("it is right").expect("they are wanted");
        assert_eq!((said.discount, said.interrupted_per_hour), (0.75, 0.1));
        assert_eq!(of("spot_share: 0.25", None).expect("it is right"), None, "all are on demand");
        assert!(of("spot_share: 30", Some(SPOT)).is_err());
    }
}
