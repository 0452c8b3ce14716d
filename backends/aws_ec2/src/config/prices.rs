//! What an hour of an instance costs: by its type, by how it was bought and in which zone, with its address and its disks.

use std::collections::BTreeMap;

use lithops_core::{
    config::Section,
    error::{Error, ErrorKind, Result},
};
use serde::Deserialize;

use crate::api::answers::{Instance, SpotPrice};

/// What is known beside the prices of types, as data.
const MARKET: &str = include_str!("../../market.json");
const HOURS_OF_A_MONTH: f64 = 730.0;

/// What an hour of an instance costs, by the data and the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prices {
    /// US dollars for an hour on demand, by type; the first is the one that plans count with.
    on_demand: Vec<(String, f64)>,
    /// What a spot instance costs beside one on demand.
    spot_share: f64,
    address_hour_usd: f64,
    disks_hour_usd: f64,
}

#[derive(Deserialize)]
struct Market {
    spot_share: f64,
    address_hour_usd: f64,
    gib_month_usd: f64,
}

impl Prices {
    /// The prices of these types, with as many GiB of disk as are asked for.
    ///
    /// # Errors
    /// When the configuration names an impossible share.
    pub(crate) fn read(section: Section<'_>, on_demand: Vec<(String, f64)>, gib: u64) -> Result<Self> {
        let market: Market = serde_json::from_str(MARKET).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("the data of the market cannot be read: {error}"))
        })?;
        let spot_share = section.number("spot_share")?.unwrap_or(market.spot_share);
        if !(0.0..=1.0).contains(&spot_share) {
            return Err(section.unusable(
                "spot_share",
                &format!("is {spot_share}"),
                "write a number from 0 to 1",
            ));
        }
        Ok(Self {
            on_demand,
            spot_share,
            address_hour_usd: market.address_hour_usd,
            disks_hour_usd: gib as f64 * market.gib_month_usd / HOURS_OF_A_MONTH,
        })
    }

    /// What plans count with: the first type, with a public address.
    pub(crate) fn planned(&self, is_spot: bool) -> f64 {
        let first = self.on_demand.first().map_or(0.0, |(_, usd)| *usd);
        let share = if is_spot { self.spot_share } else { 1.0 };
        first * share + self.address_hour_usd + self.disks_hour_usd
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
        let address = if instance.has_address() { self.address_hour_usd } else { 0.0 };
        machine + address + self.disks_hour_usd
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

    fn prices(yaml: &str, gib: u64) -> Result<Prices> {
        let sources = Sources { yaml: Some(format!("aws_ec2: {{{yaml}}}")), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
        let types = vec![("a.large".to_owned(), 0.1), ("b.large".to_owned(), 0.2)];
        Prices::read(config.section("aws_ec2"), types, gib)
    }

    #[test]
    fn an_instance_costs_what_its_type_its_market_its_zone_its_address_and_its_disks_cost() {
        let prices = prices("", 730).expect("it is right");
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
        let disk = 0.08;
        assert!(is_near(of("a.large", "spot", "x", ""), 0.03 + disk));
        assert!(is_near(of("a.large", "spot", "y", "1.2.3.4"), 0.02 + 0.005 + disk));
        assert!(is_near(of("b.large", "spot", "x", ""), 0.2 * 0.4 + disk), "the market does not say it");
        assert!(is_near(of("b.large", "", "x", ""), 0.2 + disk));
        assert_eq!(market.lowest(), Some(("a.large", "y", 0.02)));
    }

    #[test]
    fn the_share_of_plans_is_a_key() {
        assert!(is_near(prices("", 0).expect("it is right").planned(true), 0.1 * 0.4 + 0.005));
        assert!(is_near(prices("spot_share: 0.3", 0).expect("it is right").planned(true), 0.1 * 0.3 + 0.005));
        assert!(is_near(prices("spot_share: 0.3", 0).expect("it is right").planned(false), 0.105));
        assert!(prices("spot_share: 30", 0).is_err());
    }
}
