//! CreateFleet, as EC2 does it and moto does not: once for each client token, with errors where there is no capacity.

use std::{collections::BTreeMap, sync::Arc};

use crate::{answer, form::Form, moto::Answer, region::Region};

/// The answers that were given, by client token.
#[derive(Debug, Default)]
pub(crate) struct Answered(BTreeMap<String, (Form, Answer)>);

/// Starts instances, as far as there is capacity.
pub(crate) async fn create(region: &Arc<Region>, form: &Form) -> Answer {
    // One at a time: the second of two equal requests gets the answer of the first.
    let mut answered = region.answered.lock().await;
    let token = form.get("ClientToken").unwrap_or_default().to_owned();
    if let Some((before, answer)) = answered.0.get(&token).filter(|_| !token.is_empty()) {
        return if before == form {
            answer.clone()
        } else {
            let message = "The client token was used before, with other parameters";
            (400, answer::error("IdempotentParameterMismatch", message))
        };
    }
    let answer = start(region, form).await;
    if answer.0 == 200 {
        answered.0.insert(token, (form.clone(), answer.clone()));
    }
    answer
}

async fn start(region: &Arc<Region>, form: &Form) -> Answer {
    const CAPACITY: &str = "TargetCapacitySpecification.TotalTargetCapacity";
    let wanted: usize = form.get(CAPACITY).and_then(|count| count.parse().ok()).unwrap_or(0);
    let is_spot = form.get("TargetCapacitySpecification.DefaultTargetCapacityType") == Some("spot");
    let (room, code) = region.room(is_spot);
    let given = wanted.min(room);
    let errors = if given < wanted { pools(form) } else { Vec::new() };
    if given == 0 {
        return (200, answer::fleet("", &errors, &code));
    }
    let mut asked = form.clone();
    asked.set(CAPACITY, given.to_string());
    let (status, body) = region.moto.ec2(&asked).await;
    if status != 200 {
        return (status, body);
    }
    let instances = answer::between(&body, "<fleetInstanceSet>", "</fleetInstanceSet>");
    let instances = instances.first().copied().unwrap_or_default();
    let ids = answer::between(instances, "<instanceIds>", "</instanceIds>");
    let ids = ids.into_iter().flat_map(|ids| answer::between(ids, "<item>", "</item>"));
    ids.zip(0..).for_each(|(id, before)| region.begin(id, is_spot, before));
    (200, answer::fleet(instances, &errors, &code))
}

/// The pools that a request names: each a type and a subnet.
fn pools(form: &Form) -> Vec<(String, String)> {
    let pool = |index: usize| {
        let part = |name: &str| form.get(&format!("LaunchTemplateConfigs.1.Overrides.{index}.{name}"));
        Some((part("InstanceType")?.to_owned(), part("SubnetId").unwrap_or_default().to_owned()))
    };
    (1..).map_while(pool).collect()
}
