//! Pods while a program runs, and the processes of their workers.

use std::{collections::BTreeSet, fs};

use crate::e2e::place::{Place, Ran, Running};

/// Runs a program to its end; returns the names of all pods that were there meanwhile.
pub(super) fn counted(place: &Place<'_>, mut running: Running) -> Result<(Ran, BTreeSet<String>), String> {
    let mut pods = BTreeSet::new();
    place.until("the program ends", || {
        let has_ended = running.has_ended()?;
        for pod in place.objects("pods")? {
            pods.insert(pod["metadata"]["name"].as_str().unwrap_or_default().to_owned());
        }
        Ok(has_ended)
    })?;
    Ok((running.end()?, pods))
}

/// The names of the pods that run.
pub(super) fn running(place: &Place<'_>) -> Result<Vec<String>, String> {
    let pods = place.running()?;
    Ok(pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Waits until no pod of a worker is left. Nothing is deleted for that.
pub(super) fn until_none(place: &Place<'_>) -> Result<(), String> {
    place.until("all pods are gone without being deleted", || Ok(place.objects("pods")?.is_empty()))
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
