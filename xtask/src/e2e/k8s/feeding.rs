//! Workers that are fed: what only a client that is connected to them can do.

use super::{run::Trial, workers::FED};
use crate::e2e::place::Place;

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("fed: a warm call takes a moment, and 10,000 calls little more", rate),
    ("fed: a slow call gets a backup attempt in another pod", backup),
    ("fed: calls that wait get more sub-workers while the job runs", auto),
];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] = &[("fed: rights that are missing are an error", no_rights)];

fn rate(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/fleet", &["latency", "20"], "max_workers: 1, dispatch: fed")?;
    ran.says("warm: ")?;
    eprint!("{}", ran.stdout);
    let ran = place.run("examples/fleet", &["rate", "10000", "4"], "max_workers: 4, dispatch: fed")?;
    ran.says("10000 calls on 4 machines")?;
    eprint!("{}", ran.stdout);
    Ok(())
}

fn backup(place: &Place<'_>) -> Result<(), String> {
    let more = format!("max_workers: 2, {FED}");
    let ran = place.run("examples/feeding", &["backup", "40"], &more)?;
    ran.says("all 40 results are right, ")?;
    if ran.stdout.contains(" 0 by backup attempts") {
        return Err(format!("no call had a backup attempt: {ran:?}"));
    }
    Ok(())
}

fn auto(place: &Place<'_>) -> Result<(), String> {
    let ran = place.run("examples/feeding", &["auto", "2000"], &format!("max_workers: 2, {FED}"))?;
    eprint!("{}", ran.stdout);
    ran.says("planned again: true").map(drop)
}

fn no_rights(place: &Place<'_>) -> Result<(), String> {
    let rules = serde_json::json!([{"op": "remove", "path": "/rules/4"}]).to_string();
    place.kubectl(&["patch", "role", "lithops", "--type=json", &format!("-p={rules}")])?;
    let ran = place.run("examples/fleet", &["map", "2", "0"], FED);
    place.apply_role()?;
    ran?.refuses("pods/portforward")
}
