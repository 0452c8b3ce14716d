//! What EC2 has not got, or refuses: it is said, and the job goes on as far as it can.

use serde_json::json;

use super::{place::Place, run::Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("3 of 10 instances get no capacity: it is said, and the job ends right on 7", shortfall),
    ("what spot refuses is started on demand", on_demand),
    ("a request whose answer was lost starts nothing twice", lost_answer),
    ("what is refused for good ends the job with what to do", refused),
];

fn count(instances: &[serde_json::Value], is_spot: bool) -> usize {
    instances.iter().filter(|one| one["spot"] == is_spot).count()
}

fn shortfall(place: &Place) -> Result<(), String> {
    place.hands.faults(&json!({"spot": 7, "on_demand": 0}))?;
    let before = place.hands.instances()?.len();
    let more = "max_workers: 10, worker_processes: 1, request_spot_instances: only";
    let said = place.example("fleet", &["map", "60", "300"], more)?;
    said.ends_with(0)?.wants("all results", said.stdout.contains("all 60 results are right"))?;
    let words = "3 workers wait: spot, 24 pools: InsufficientInstanceCapacity: There is no capacity";
    said.wants(words, said.stderr.contains(words))?;
    match place.since(before)?.len() {
        7 => Ok(()),
        count => Err(format!("{count} instances were started, and there is capacity for 7")),
    }
}

fn on_demand(place: &Place) -> Result<(), String> {
    place.hands.faults(&json!({"spot": 1, "code": "MaxSpotInstanceCountExceeded"}))?;
    let before = place.hands.instances()?.len();
    let more = "max_workers: 3, worker_processes: 1, spot_patience: 1s";
    let said = place.example("fleet", &["map", "90", "500"], more)?;
    said.ends_with(0)?.wants("all results", said.stdout.contains("all 90 results are right"))?;
    let words = "2 workers wait: spot, 24 pools: MaxSpotInstanceCountExceeded (quota L-34B43A08";
    said.wants(words, said.stderr.contains(words))?;
    let instances = place.since(before)?;
    match (count(&instances, true), count(&instances, false)) {
        (1, 2) => Ok(()),
        (spot, rest) => Err(format!("{spot} spot instances and {rest} on demand, and 1 and 2 are wanted")),
    }
}

fn lost_answer(place: &Place) -> Result<(), String> {
    place.hands.faults(&json!({"unanswered": {"CreateFleet": 4, "CreateLaunchTemplate": 1}}))?;
    let before = place.hands.instances()?.len();
    let said = place.example("fleet", &["map", "4", "100"], "max_workers: 2, worker_processes: 1")?;
    said.ends_with(0)?.wants("all results", said.stdout.contains("all 4 results are right"))?;
    match place.since(before)?.len() {
        2 => Ok(()),
        count => Err(format!("{count} instances were started, and 2 were asked for")),
    }
}

fn refused(place: &Place) -> Result<(), String> {
    for (code, words) in [
        ("UnauthorizedOperation", "prints the policy that the credentials need"),
        ("InvalidAMIID.NotFound", "`target_ami`"),
    ] {
        place.hands.faults(&json!({"refused": {"CreateFleet": code}}))?;
        let said = place.example("fleet", &["map", "4", "0"], "max_workers: 2")?;
        said.ends_with(1)?;
        for words in ["cannot start instances", code, words] {
            said.wants(words, said.stderr.contains(words))?;
        }
    }
    Ok(())
}
