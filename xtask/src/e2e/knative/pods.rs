//! Pods while a program runs, and the processes of their workers.

use std::fs;

use crate::e2e::place::{Place, Ran, Running};

/// Runs a program to its end; returns how many pods were there at once, at most. Those that are told to end do not count:
/// on a busy machine the engine replaces some that it could not ask in time.
pub(super) fn counted(place: &Place<'_>, mut running: Running) -> Result<(Ran, usize), String> {
    let mut most = 0;
    place.until("the program ends", || {
        let has_ended = running.has_ended()?;
        let pods = place.objects("pods")?;
        most = most.max(pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count());
        Ok(has_ended)
    })?;
    Ok((running.end()?, most))
}

/// The names of the pods that run.
pub(super) fn running(place: &Place<'_>) -> Result<Vec<String>, String> {
    let pods = place.running()?;
    Ok(pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Waits until no pod of a worker is left that is not told to end. Nothing is deleted for that.
pub(super) fn until_none(place: &Place<'_>) -> Result<(), String> {
    place.until("all pods are gone without being deleted", || {
        Ok(place.objects("pods")?.iter().all(|pod| !pod["metadata"]["deletionTimestamp"].is_null()))
    })
}

/// The first process of a container of a worker, as this machine numbers it.
pub(super) fn worker() -> Option<u32> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_ours =
            environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"K_SERVICE=lithops-"));
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        is_ours && numbers.split_whitespace().last() == Some("1")
    })
}
