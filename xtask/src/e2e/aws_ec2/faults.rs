//! What ends clients and instances: nothing is lost, and nothing is left.

use std::time::Duration;

use serde_json::json;

use super::{place::Place, run::Trial};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("nothing_is_left: after Ctrl-C", interrupted),
    ("nothing_is_left: after SIGKILL", killed),
    ("nothing_is_left: after Ctrl-C while instances are pending", pending),
    ("nothing_is_left: after Ctrl-C while EC2 does not know its instances yet", unknown),
    ("nothing_is_left: after a failed boot, which the job tells with the console", failed_boot),
    ("nothing_is_left: after a panic", panicking),
    ("nothing_is_left: after the executor is dropped or closed", dropped_or_closed),
    ("a_spot_notice_costs_no_lease", notice),
    ("a spot instance that is taken away loses nothing", taken),
];

/// How long workers wait for a silent client.
const ORPHAN: Duration = Duration::from_secs(4);

/// A job of 4 workers, which run when this returns.
fn long_job(place: &Place, what: &str) -> Result<super::place::Running, String> {
    let more = format!("max_workers: 4, worker_processes: 1, lease: 4s, orphan: {}s", ORPHAN.as_secs());
    let mut running = place.start(&[what, "4000", "100"], &more)?;
    place.until_running(&mut running, 4)?;
    Ok(running)
}

fn interrupted(place: &Place) -> Result<(), String> {
    let running = long_job(place, "map")?;
    running.signal("INT")?;
    running.ends_with(Some(130))?;
    place.nothing_is_left_after(ORPHAN)
}

fn killed(place: &Place) -> Result<(), String> {
    let running = long_job(place, "map")?;
    running.signal("KILL")?;
    running.ends_with(None)?;
    place.nothing_is_left_after(ORPHAN)
}

/// The stack of the client is unwound while its job runs.
fn panicking(place: &Place) -> Result<(), String> {
    let more = format!("max_workers: 4, worker_processes: 1, lease: 4s, orphan: {}s", ORPHAN.as_secs());
    let running = place.start(&["panic", "4000", "100"], &more)?;
    let (_, stderr) = running.ends_with(Some(101))?;
    if !stderr.contains("the client panics after Some") {
        return Err(format!("it panicked before a call had ended: {stderr}"));
    }
    place.nothing_is_left_after(ORPHAN)
}

/// The program goes on without its executor.
fn dropped_or_closed(place: &Place) -> Result<(), String> {
    for how in ["drop", "close"] {
        let more = format!("max_workers: 2, worker_processes: 1, orphan: {}s", ORPHAN.as_secs());
        let mut running = place.start(&[how, "4", "0"], &more)?;
        place.until(&format!("the job has run, before {how}"), || {
            running.lives()?;
            Ok(running.stdout().contains("all 4 results are right"))
        })?;
        place.nothing_is_left_after(ORPHAN)?;
        running.lives()?;
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
    place.nothing_is_left_after(ORPHAN)
}

/// EC2 ends none of a request where it does not know one, and hears of an instance some seconds after it was started.
fn unknown(place: &Place) -> Result<(), String> {
    place.hands.faults(&json!({"unknown_ms": 4000}))?;
    let before = place.hands.instances()?.len();
    let mut running = place.start(&["map", "4", "0"], "max_workers: 4, worker_processes: 1, orphan: 600s")?;
    place.until("instances were started", || {
        running.lives()?;
        Ok(place.since(before)?.len() == 4)
    })?;
    running.signal("INT")?;
    running.ends_with(Some(130))?;
    place.nothing_is_left_after(ORPHAN)
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
    place.nothing_is_left_after(ORPHAN)
}

/// The instance leaves before the market ends it: the call that it runs ends there, and what it had goes on at once.
fn notice(place: &Place) -> Result<(), String> {
    let mut running =
        place.start(&["noted", "20", "2000"], "max_workers: 2, worker_processes: 1, lease: 60s")?;
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
    let words = "all 20 results are right, from 1 machines; 0 workers were lost, 0 calls were tried again\n20 calls began\n";
    if stdout.ends_with(words) { place.nothing_is_left() } else { Err(stdout) }
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
