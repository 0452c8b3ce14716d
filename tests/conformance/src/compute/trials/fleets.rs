//! Fleets: workers that are started with a launch document and find their jobs themselves.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use lithops_core::{
    board::LeaseConfig,
    compute::{Capabilities, FleetMark, Leftover, Scaled, WorkerEnd},
    fleet::{ClientFleet, ClientState, Leftovers},
    id::JobId,
    journal::Journal,
    protocol::Launch,
};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    super::{Subject, functions::*},
    lasting::runs_here,
};

/// Where workers are a fleet.
pub(in crate::compute) fn pulls(capabilities: &Capabilities) -> bool {
    capabilities.pull.is_some()
}

/// Where a worker of a fleet can be told to leave from here.
pub(in crate::compute) fn can_be_told(capabilities: &Capabilities) -> bool {
    pulls(capabilities) && runs_here(capabilities)
}

impl Subject {
    fn lease_config(&self) -> LeaseConfig {
        self.capabilities().pull.unwrap_or_default()
    }

    /// A fleet of this trial alone, whose client says that it lives.
    async fn fleet(&self) -> Arc<ClientFleet> {
        let fleet = ClientFleet::new(&self.storage, self.locator(), self.lease_config());
        let fleet = Arc::new(fleet.unwrap_or_else(|error| panic!("{error:?}")));
        fleet.open().await.unwrap_or_else(|error| panic!("{error:?}"));
        fleet
    }

    async fn scale(&self, launch: &Launch, workers: usize) -> Scaled {
        self.backend.scale(launch, workers).await.unwrap_or_else(|error| panic!("not scaled: {error:?}"))
    }

    /// Asks for workers until the answer is as it should be; gives that answer.
    async fn scaled(
        &self,
        launch: &Launch,
        workers: usize,
        what: &str,
        is_so: impl Fn(&Scaled) -> bool,
    ) -> Scaled {
        let begun = Instant::now();
        loop {
            let scaled = self.scale(launch, workers).await;
            if is_so(&scaled) {
                return scaled;
            }
            assert!(begun.elapsed() < self.patience, "{what}: not so, but {scaled:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(in crate::compute) async fn scaling_twice_starts_nothing_twice(subject: Subject) {
    let fleet = subject.fleet().await;
    subject.scaled(&fleet.launch, 2, "two workers live", |scaled| scaled.live.len() == 2).await;
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        let (one, other) = tokio::join!(subject.scale(&fleet.launch, 2), subject.scale(&fleet.launch, 2));
        names.extend(one.live.into_iter().chain(other.live));
    }
    assert_eq!(names.len(), 2, "{names:?}");
    fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
}

pub(in crate::compute) async fn a_closed_fleet_ends(subject: Subject) {
    let fleet = subject.fleet().await;
    subject.scaled(&fleet.launch, 2, "two workers live", |scaled| scaled.live.len() == 2).await;
    fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
    let is_over = |scaled: &Scaled| scaled.live.is_empty() && scaled.coming == 0;
    subject.scaled(&fleet.launch, 0, "no worker lives", is_over).await;
}

pub(in crate::compute) async fn a_fleet_whose_client_is_gone_ends(subject: Subject) {
    let fleet = ClientFleet::new(&subject.storage, subject.locator(), subject.lease_config());
    let fleet = fleet.unwrap_or_else(|error| panic!("{error:?}"));
    // It says once that it lives, and never again.
    let state = ClientState { beat: 1, news: 0, is_closed: false };
    fleet.fleet.put_client(state).await.unwrap_or_else(|error| panic!("{error:?}"));
    let launch = Launch { orphan: Duration::from_secs(2), ..fleet.launch.clone() };
    subject.scaled(&launch, 1, "a worker lives", |scaled| !scaled.live.is_empty()).await;
    let is_over = |scaled: &Scaled| scaled.live.is_empty() && scaled.coming == 0;
    subject.scaled(&launch, 0, "no worker lives", is_over).await;
    fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
}

/// The subject may have two workers.
pub(in crate::compute) async fn what_waits_says_why(subject: Subject) {
    let fleet = subject.fleet().await;
    for _ in 0..5 {
        let scaled = subject.scale(&fleet.launch, 5).await;
        let waiting: usize = scaled.waiting.iter().map(|waiting| waiting.count).sum();
        assert!(scaled.live.len() + scaled.coming + waiting >= 5, "some are in no account: {scaled:?}");
        for waiting in &scaled.waiting {
            assert!(waiting.count > 0 && !waiting.why.trim().is_empty(), "{waiting:?}");
        }
    }
    fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
}

pub(in crate::compute) async fn a_worker_that_must_leave_hands_back(subject: Subject) {
    let (fexec, marks) = (subject.executor(2).await, subject.marks());
    let futures = fexec.map(wait_in_process, vec![marks.folder(); 4]).chunksize(2).await;
    let futures = futures.unwrap_or_else(|error| panic!("{error:?}"));
    let begun = marks.wait_for("begun-", 4, subject.patience).await;
    // A mark is `begun-<call>-<process of the sub-worker>`.
    let process = begun[0].rsplit('-').next().and_then(|pid| pid.parse::<u32>().ok());
    let worker = process.and_then(parent_of).and_then(Pid::from_raw).unwrap_or_else(|| panic!("{begun:?}"));
    // The second time says that what runs is not waited for.
    for _ in 0..2 {
        kill_process(worker, Signal::TERM).unwrap_or_else(|error| panic!("{error}"));
    }
    marks.wait_for("begun-", 6, subject.patience).await;
    let claims = format!("{}board/claims/", Journal::new(&subject.storage, futures.job_id()).folder());
    let claims = subject.storage.list_keys(subject.storage.bucket(), &claims).await;
    let claims = claims.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(claims.iter().any(|key| key.ends_with("-left")), "nothing was handed back: {claims:?}");
    marks.set("go").await.unwrap_or_else(|error| panic!("{error:?}"));
    let done = tokio::time::timeout(subject.patience, futures.get_result()).await;
    let done = done.unwrap_or_else(|_| panic!("the job does not end"));
    assert_eq!(done.unwrap_or_else(|error| panic!("{error:?}")).len(), 4);
}

/// The parent of a process of this machine.
fn parent_of(process: u32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

pub(in crate::compute) async fn a_worker_that_cannot_serve_ends_the_job_with_its_words(subject: Subject) {
    let fleet = subject.fleet().await;
    // A manifest that the client has not signed.
    let key = format!("lithops.fleets/{}/jobs/{}", fleet.launch.fleet, JobId::generate());
    let (storage, bucket) = (&subject.storage, subject.storage.bucket());
    storage.put_object(bucket, &key, vec![7; 400]).await.unwrap_or_else(|error| panic!("{error:?}"));
    let scaled = subject
        .scaled(&fleet.launch, 1, "a worker says why", |scaled| {
            scaled.ended.iter().any(|(_, end)| matches!(end, WorkerEnd::Refused(_)))
        })
        .await;
    for (name, end) in scaled.ended {
        let WorkerEnd::Refused(mut words) = end else { continue };
        if words.is_empty() {
            let stored = fleet.fleet.ended(&name).await.unwrap_or_else(|error| panic!("{error:?}"));
            words = stored.unwrap_or_default();
        }
        assert!(words.contains("is not signed with the key of this fleet"), "`{name}` says: {words}");
    }
    storage.delete_object(bucket, &key).await.unwrap_or_else(|error| panic!("{error:?}"));
    fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
}

pub(in crate::compute) async fn launching_takes_no_secret(subject: Subject) {
    let fleet = subject.fleet().await;
    // A worker that has the document as text alone serves as well as any other: nothing else is needed to launch it.
    let text = fleet.launch.to_json().unwrap_or_else(|error| panic!("{error:?}"));
    let launch = Launch::from_json(&text).unwrap_or_else(|error| panic!("{error:?}"));
    for secret in subject.secrets() {
        assert!(!text.contains(&secret), "the document holds a secret");
    }
    subject.scaled(&launch, 1, "a worker lives", |scaled| !scaled.live.is_empty()).await;
    fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
}

pub(in crate::compute) async fn what_a_client_has_left_is_listed_and_removed(subject: Subject) {
    // A client that has said once that it lives, and whose workers would wait for it for long.
    let lease_config = LeaseConfig { orphan: Duration::from_secs(3600), ..subject.lease_config() };
    let gone = ClientFleet::new(&subject.storage, subject.locator(), lease_config);
    let gone = gone.unwrap_or_else(|error| panic!("{error:?}"));
    let state = ClientState { beat: 1, news: 0, is_closed: false };
    gone.fleet.put_client(state).await.unwrap_or_else(|error| panic!("{error:?}"));
    subject.scaled(&gone.launch, 1, "a worker lives", |scaled| !scaled.live.is_empty()).await;
    if runs_here(subject.capabilities()) && !is_launched_here(&gone.launch) {
        // Its workers end with the process of their client, and can be left by none.
        return gone.end().await.unwrap_or_else(|error| panic!("{error:?}"));
    }
    // Another client lives, and says so four times in this time.
    let watch = Duration::from_secs(2);
    let lease_config = LeaseConfig { orphan: watch, ..subject.lease_config() };
    let living = ClientFleet::new(&subject.storage, subject.locator(), lease_config).map(Arc::new);
    let living = living.unwrap_or_else(|error| panic!("{error:?}"));
    living.open().await.unwrap_or_else(|error| panic!("{error:?}"));
    let launch = Launch { orphan: Duration::from_secs(3600), ..living.launch.clone() };
    subject.scaled(&launch, 1, "another worker lives", |scaled| !scaled.live.is_empty()).await;

    let (begun, backend) = (Instant::now(), &*subject.backend);
    let found = loop {
        let found = Leftovers::find(backend, (&subject.storage, subject.locator()), watch).await;
        let found = found.unwrap_or_else(|error| panic!("nothing is listed: {error:?}"));
        let is_of = |launch: &Launch| {
            let mark = FleetMark::of(launch);
            move |left: &&Leftover| left.fleet.as_ref() == Some(&mark)
        };
        assert_eq!(found.gone.iter().find(is_of(&launch)), None, "its client lives");
        let of_gone: Vec<_> = found.gone.iter().filter(is_of(&gone.launch)).cloned().collect();
        if !of_gone.is_empty() {
            break of_gone;
        }
        assert!(begun.elapsed() < subject.patience, "what a client has left is not listed: {found:?}");
    };
    for left in &found {
        assert!(!left.id.is_empty() && !left.what.is_empty(), "{left:?}");
        for _ in 0..2 {
            backend.remove_leftover(left).await.unwrap_or_else(|error| panic!("not removed: {error:?}"));
        }
    }
    let is_over = |scaled: &Scaled| scaled.live.is_empty() && scaled.coming == 0;
    subject.scaled(&gone.launch, 0, "no worker lives", is_over).await;
    for fleet in [&gone, &*living] {
        fleet.end().await.unwrap_or_else(|error| panic!("{error:?}"));
    }
    subject.scaled(&launch, 0, "no worker lives", is_over).await;
}

/// Whether a process of this machine has this launch document.
fn is_launched_here(launch: &Launch) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut environments = processes.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments.any(|text| {
        text.split(|byte| *byte == 0).any(|pair| {
            let pair = String::from_utf8_lossy(pair);
            pair.starts_with(Launch::VARIABLE) && pair.contains(&launch.fleet)
        })
    })
}
