//! Disks that fill.

use super::run::Trial;
use crate::e2e::place::Place;

pub(super) const LONG: &[(&str, Trial)] = &[
    ("a worker that fills its disk is evicted, and its call runs again", |place| filled(place, "lease: 6s")),
    ("fed: a worker that fills its disk is evicted, and its call runs again", |place| {
        filled(place, "dispatch: fed")
    }),
];

fn filled(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    let more = format!("max_workers: 1, ephemeral_storage: 128, {dispatch}");
    let ran = place.run("examples/fleet", &["fill", "400"], &more)?;
    ran.says("the disk was filled once, and then not")?;
    // It is no fault of the worker: in the words for the two ways in which calls come to it.
    let says = |words: &str| ran.stderr.contains(words);
    if says("the platform has taken its machine away") || says("was taken away by the cluster") {
        return Ok(());
    }
    Err(format!("the eviction was not told: {}", ran.stderr))
}
