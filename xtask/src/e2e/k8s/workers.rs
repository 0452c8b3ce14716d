//! Jobs whose workers run, for trials that then do something to them.

use crate::e2e::place::{Place, Running};

/// The keys of workers that pull: they are missed soon.
pub(super) const PULL: &str = "lease: 6s";
/// The keys of workers that are fed.
pub(super) const FED: &str = "dispatch: fed";

/// Starts `fleet` with these arguments; this many of its workers run when this returns.
pub(super) fn working(
    place: &Place<'_>,
    arguments: &[&str],
    workers: usize,
    more: &str,
) -> Result<Running, String> {
    let mut running = place.start("examples/fleet", arguments, more)?;
    place.until_of(&mut running, &format!("{workers} workers run"), |_| {
        Ok(place.running()?.len() >= workers)
    })?;
    Ok(running)
}

/// A job of 4 workers that takes 20 seconds.
pub(super) fn four(place: &Place<'_>, more: &str) -> Result<Running, String> {
    working(place, &["map", "160", "500"], 4, &format!("max_workers: 4, {more}"))
}

/// Waits for the end of such a job, whose results must be right.
pub(super) fn all_right(running: Running) -> Result<(), String> {
    running.end()?.says("all 160 results are right").map(drop)
}
