//! What outlives an outcome, and what must not outlive the backend.

use std::{collections::BTreeSet, fs, time::Instant};

use lithops_core::{
    compute::{Capabilities, CloseMode, Granularity},
    journal::Journal,
    protocol::DurableSpec,
};

use super::{
    super::{Subject, functions::*},
    alone,
};

pub(in crate::compute) async fn an_outcome_is_stored_before_it_is_reported(subject: Subject) {
    let mut job = subject.job(square, 2);
    job.durable = Some(DurableSpec { calls: 12, chunksize: 4, failures_are_final: true });
    let journal = Journal::new(&subject.storage, job.job);
    let inputs: Vec<u64> = (0..12).collect();
    let mut running = subject.invoke(&job, 0, &inputs).await;
    let mut looked_at = 0;
    while !running.is_reported() && running.next().await {
        for report in &running.heard.reports[looked_at..] {
            let run = report.header.run;
            assert!(report.header.stored, "chunks that are whole are stored by the worker");
            for chunk in run.first / 4..run.end().div_ceil(4) {
                let stored = journal.bundle(chunk, (chunk * 4, chunk * 4 + 4)).await;
                assert!(
                    matches!(stored, Ok(Some(_))),
                    "calls of chunk {chunk} are reported, and not stored: {stored:?}"
                );
            }
        }
        looked_at = running.heard.reports.len();
    }
    running.end().await;
    journal.delete().await.unwrap_or_else(|error| panic!("{error:?}"));
    for call in 0..12 {
        assert_eq!(running.heard.value::<u64>(call), call * call);
    }
}

/// Only on this machine it can be seen what is left.
pub(in crate::compute) fn runs_here(capabilities: &Capabilities) -> bool {
    capabilities.granularity == Granularity::Local
}

/// In a process of its own: here other trials have workers.
pub(in crate::compute) async fn close_leaves_no_process_behind(subject: Subject) {
    let said = alone::start("close_leaves_no_process_behind", &subject).await;
    assert!(said.is_ok(), "in a process of its own: {}", said.err().unwrap_or_default());
}

/// What that process does.
pub(in crate::compute) async fn leaves_nothing(subject: Subject) {
    // What loses its parent becomes a child of this process, and is seen.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .unwrap_or_else(|error| panic!("cannot adopt: {error}"));
    let fexec = subject.executor(2).await;
    let futures = fexec.map(place, 0..8).chunksize(2).await.unwrap_or_else(|error| panic!("{error:?}"));
    let places = futures.get_result().await.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(places.iter().all(|place| place.process != std::process::id()));
    if subject.capabilities().pull.is_none() {
        let job = subject.job(square, 2);
        subject.invoke(&job, 0, &[1, 2]).await.end().await;
    }
    fexec.close().await.unwrap_or_else(|error| panic!("{error:?}"));
    drop((futures, fexec));
    subject.backend.close(CloseMode::Now).await.unwrap_or_else(|error| panic!("{error:?}"));
    let begun = Instant::now();
    while !living_descendants().is_empty() {
        let left = living_descendants();
        assert!(begun.elapsed() < subject.patience / 4, "processes are left: {left:?}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The processes below this one that have not ended.
fn living_descendants() -> BTreeSet<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse::<u32>().ok()));
        if let (Some(state), Some(parent)) = (state, parent)
            && !matches!(state, "Z" | "X")
        {
            parents.push((pid, parent));
        }
    }
    let mut found = BTreeSet::new();
    let mut below = vec![std::process::id()];
    while let Some(parent) = below.pop() {
        for (pid, _) in parents.iter().filter(|(_, of)| *of == parent) {
            if found.insert(*pid) {
                below.push(*pid);
            }
        }
    }
    found
}
