//! A wave: the instances that one CreateFleet asks for.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lithops_core::compute::FleetMark;
use serde_json::{Value, json};

use crate::{
    api::answers::Pool,
    template::{self, FLEET, STORAGE},
};

/// The most instances of one wave.
pub(crate) const WAVE: usize = 500;
/// The most pools that one request may name.
const POOLS: usize = 300;
/// How long a pool that had nothing to give is left out.
const EMPTY: Duration = Duration::from_secs(180);

/// A wave that is asked for. It is asked for again, unchanged, until it is answered: a request whose answer was lost starts
/// nothing a second time.
#[derive(Debug, Clone)]
pub(crate) struct Wave {
    pub(crate) number: u64,
    pub(crate) instances: usize,
    pub(crate) is_spot: bool,
    pub(crate) pools: Vec<Pool>,
}

impl Wave {
    /// The parameters of CreateFleet.
    pub(crate) fn request(&self, mark: &FleetMark) -> Value {
        let FleetMark { name: fleet, storage } = mark;
        let tags = json!([{"Key": FLEET, "Value": fleet}, {"Key": STORAGE, "Value": storage}]);
        let pools: Vec<Value> = self
            .pools
            .iter()
            .map(|pool| json!({"InstanceType": pool.instance_type, "SubnetId": pool.subnet_id}))
            .collect();
        let market = if self.is_spot { "spot" } else { "on-demand" };
        json!({
            "ClientToken": format!("{fleet}-{}", self.number),
            "Type": "instant",
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": self.instances,
                "DefaultTargetCapacityType": market,
            },
            "SpotOptions": {
                "AllocationStrategy": "price-capacity-optimized",
                "InstanceInterruptionBehavior": "terminate",
            },
            "OnDemandOptions": {"AllocationStrategy": "lowest-price"},
            "LaunchTemplateConfigs": [{
                "LaunchTemplateSpecification": {
                    "LaunchTemplateName": template::name(fleet, self.number),
                    "Version": "$Latest",
                },
                "Overrides": pools,
            }],
            "TagSpecification": [
                {"ResourceType": "instance", "Tag": tags},
                {"ResourceType": "fleet", "Tag": tags},
            ],
        })
    }
}

/// The pools that instances may come from, and since when some have nothing to give.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    all: Vec<Pool>,
    empty: BTreeMap<(bool, Pool), Instant>,
}

impl Pools {
    /// Each type in each subnet.
    pub(crate) fn of(types: &[String], subnets: &[String]) -> Self {
        let of_type = |instance_type: &String| {
            let pool =
                |subnet: &String| Pool { instance_type: instance_type.clone(), subnet_id: subnet.clone() };
            subnets.iter().map(pool).collect::<Vec<_>>()
        };
        Self { all: types.iter().flat_map(of_type).take(POOLS).collect(), empty: BTreeMap::new() }
    }

    /// Those to be asked now: all, where each has had nothing to give.
    pub(crate) fn to_ask(&self, is_spot: bool) -> Vec<Pool> {
        let is_empty = |pool: &&Pool| {
            let since = self.empty.get(&(is_spot, (*pool).clone()));
            since.is_some_and(|since| since.elapsed() < EMPTY)
        };
        let full: Vec<_> = self.all.iter().filter(|pool| !is_empty(pool)).cloned().collect();
        if full.is_empty() { self.all.clone() } else { full }
    }

    /// Notes that pools had nothing to give.
    pub(crate) fn note_empty(&mut self, is_spot: bool, pools: &[Pool]) {
        let now = Instant::now();
        self.empty.extend(pools.iter().map(|pool| ((is_spot, pool.clone()), now)));
    }
}

#[cfg(test)]
mod tests {
    use lithops_cloud_aws::Form;

    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_wave_names_every_pool_and_is_the_same_when_it_is_asked_for_again() {
        let pools = Pools::of(&texts(&["a.large", "b.large"]), &texts(&["subnet-1", "subnet-2"]));
        let mark = FleetMark { name: "f".into(), storage: "s".into() };
        let wave = Wave { number: 7, instances: 12, is_spot: true, pools: pools.to_ask(true) };
        let form = Form::of(&wave.request(&mark));
        let text: String = form.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        for wanted in [
            "ClientToken=f-7\n",
            "Type=instant\n",
            "TargetCapacitySpecification.TotalTargetCapacity=12\n",
            "TargetCapacitySpecification.DefaultTargetCapacityType=spot\n",
            "LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName=lithops-f-7\n",
            "LaunchTemplateConfigs.1.Overrides.4.InstanceType=b.large\n",
            "LaunchTemplateConfigs.1.Overrides.4.SubnetId=subnet-2\n",
            "TagSpecification.1.Tag.1.Key=lithops:fleet\n",
            "TagSpecification.1.Tag.2.Value=s\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
        }
        assert_eq!(form, Form::of(&wave.clone().request(&mark)));
        let on_demand = Wave { is_spot: false, ..wave };
        assert!(Form::of(&on_demand.request(&mark)).encode().contains("DefaultTargetCapacityType=on-demand"));
    }

    #[test]
    fn an_empty_pool_is_left_out_for_its_market_alone() {
        let mut pools = Pools::of(&texts(&["a.large", "b.large"]), &texts(&["subnet-1"]));
        let all = pools.to_ask(true);
        pools.note_empty(true, &all[..1]);
        assert_eq!(pools.to_ask(true), all[1..]);
        assert_eq!(pools.to_ask(false), all);
        pools.note_empty(true, &all);
        assert_eq!(pools.to_ask(true), all, "one must be asked");
    }

    #[test]
    fn no_request_names_more_pools_than_it_may() {
        let many: Vec<_> = (0..40).map(|number| number.to_string()).collect();
        assert_eq!(Pools::of(&many, &many).to_ask(true).len(), POOLS);
    }
}
