//! What EC2 has not got, or refuses: it is said, and the job goes on as far as it can.

use serde_json::json;

use super::{jobs, place::Place, run::Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    (
        "no_capacity_is_said_and_the_job_goes_on: 3 of 10 instances are missing, and it ends right on 7",
        shortfall,
    ),
    ("what spot refuses is started on demand, and billed so", on_demand),
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
        (1, 2) => {}
        (spot, rest) => {
            return Err(format!("{spot} spot instances and {rest} on demand, and 1 and 2 are wanted"));
        }
    }
    // The market's price and that of the data; moto gives instances of fleets no public address.
    let shown = format!("3 workers, ${:.4}/h", 0.03 + 2.0 * 0.08925);
    said.wants(&shown, said.stderr.contains(&shown))?;
    let usd = |instance: &serde_json::Value| {
        let hour = if instance["spot"] == true { 0.03 } else { 0.08925 };
        instance["seconds"].as_f64().unwrap_or_default().max(60.0) / 3600.0 * hour
    };
    // The requests for the chunks: one for each call.
    let ran: f64 = instances.iter().map(usd).sum::<f64>() + 90.0 * 1.6e-5;
    let billed = jobs::cost(&said)?;
    eprintln!("   billed ${billed:.5}, run for ${ran:.5}");
    if (billed - ran).abs() <= 0.05 * ran {
        return Ok(());
    }
    Err(format!("${billed:.5} are billed, and the instances cost ${ran:.5}: {instances:?}\n{}", said.stderr))
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
