//! What ends clients and instances: nothing is lost, and nothing is left.

use serde_json::json;

use super::{place::Place, run::Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("nothing is left after Ctrl-C", interrupted),
    ("nothing is left after SIGKILL", killed),
    ("nothing is left after Ctrl-C while instances are pending", pending),
    ("nothing is left after a failed boot, which the job tells with the console", failed_boot),
    ("nothing is left after a panic", panicking),
    ("nothing is left after the executor is dropped or closed", dropped_or_closed),
    ("a spot notice costs no lease", notice),
    ("a spot instance that is taken away loses nothing", taken),
];

/// A job of 4 workers, which run when this returns.
fn long_job(place: &Place, more: &str) -> Result<super::place::Running, String> {
    let more = format!("max_workers: 4, worker_processes: 1, lease: 4s{more}");
    let mut running = place.start(&["map", "4000", "100"], &more)?;
    place.until_running(&mut running, 4)?;
    Ok(running)
}

fn interrupted(place: &Place) -> Result<(), String> {
    let running = long_job(place, "")?;
    running.signal("INT")?;
    running.ends_with(Some(130))?;
    place.nothing_is_left()
}

fn killed(place: &Place) -> Result<(), String> {
    let running = long_job(place, ", orphan: 4s")?;
    running.signal("KILL")?;
    running.ends_with(None)?;
    place.nothing_is_left()
}

/// The stack of the client is unwound while its job runs.
fn panicking(place: &Place) -> Result<(), String> {
    let running = place.start(&["panic", "4000", "100"], "max_workers: 4, worker_processes: 1, lease: 4s")?;
    let (_, stderr) = running.ends_with(Some(101))?;
    if !stderr.contains("the client panics after Some") {
        return Err(format!("it panicked before a call had ended: {stderr}"));
    }
    place.nothing_is_left()
}

/// The program goes on without its executor.
fn dropped_or_closed(place: &Place) -> Result<(), String> {
    for how in ["drop", "close"] {
        let before = place.hands.instances()?.len();
        let mut running = place.start(&[how, "4", "0"], "max_workers: 2, worker_processes: 1")?;
        place.until(&format!("the job has run, and after {how} no instance lives"), || {
            running.lives()?;
            let begun = place.since(before)?;
            Ok(!begun.is_empty() && begun.iter().all(|one| one["state"] == "terminated"))
        })?;
        running.lives()?;
        place.nothing_is_left()?;
    }
    Ok(())
}

fn pending(place: &Place) -> Result<(), String> {
    place.hands.faults(&json!({"pending_ms": 100_000}))?;
    let mut running = place.start(&["map", "4", "0"], "max_workers: 4")?;
    place.until("instances are pending", || {
        running.lives()?;
        Ok(place.hands.instances()?.iter().any(|one| one["state"] == "pending"))
    })?;
    running.signal("INT")?;
    running.ends_with(Some(130))?;
    place.nothing_is_left()
}

fn failed_boot(place: &Place) -> Result<(), String> {
    place.hands.faults(&json!({"s3_refuses": "PutObject"}))?;
    let said = place.example("fleet", &["map", "8", "0"], "max_workers: 4")?;
    said.ends_with(1)?;
    for words in [
        "ended before their workers were started",
        "(403) when calling the PutObject operation",
        "instance profile",
    ] {
        said.wants(words, said.stderr.contains(words))?;
    }
    place.nothing_is_left()
}

/// The instance leaves before the market ends it, and what it had goes on at once.
fn notice(place: &Place) -> Result<(), String> {
    let mut running =
        place.start(&["map", "60", "500"], "max_workers: 2, worker_processes: 1, lease: 60s")?;
    place.until_running(&mut running, 2)?;
    let id = place.running()?[0]["id"].as_str().unwrap_or_default().to_owned();
    place.hands.ask("POST", &format!("spot/{id}"), "")?;
    place.until("the instance has left, and the job goes on", || {
        running.lives()?;
        let left = |one: &serde_json::Value| {
            one["id"] == id.as_str() && one["cause"] == "Client.InstanceInitiatedShutdown"
        };
        Ok(place.hands.instances()?.iter().any(left))
    })?;
    // With a lease of a minute, a job that waited for it would be told as lost calls.
    let (stdout, _) = running.ends_with(Some(0))?;
    let words = "all 60 results are right, from 1 machines; 0 workers were lost, 0 calls were tried again";
    if stdout.contains(words) { place.nothing_is_left() } else { Err(stdout) }
}

fn taken(place: &Place) -> Result<(), String> {
    let mut running = place.start(&["map", "40", "500"], "max_workers: 2, worker_processes: 1, lease: 4s")?;
    place.until_running(&mut running, 2)?;
    let id = place.running()?[0]["id"].as_str().unwrap_or_default().to_owned();
    place.hands.ask("POST", &format!("lose/{id}"), "")?;
    let (stdout, _) = running.ends_with(Some(0))?;
    if !stdout.contains("all 40 results are right, from 1 machines; 1 workers were lost") {
        return Err(stdout);
    }
    place.nothing_is_left()
}
