//! [`Leftovers`]: what a platform still has of fleets whose clients are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::sleep;

use super::{
    ClientState,
    client_fleet::BEAT,
    job_queue::{client_key, folder_of, has_detached_job, said_by_client},
};
use crate::{
    compute::{ComputeBackend, FleetMark, Leftover},
    error::Result,
    storage::{Locator, StorageClient, insist},
};

/// What a platform still has of clients that are gone.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Leftovers {
    /// What no client uses any more.
    pub gone: Vec<Leftover>,
    /// What belongs to fleets of other storages: whether their clients live can be seen there alone.
    pub elsewhere: Vec<Leftover>,
}

impl Leftovers {
    /// How long a client is watched that does not say that it has ended: three of its heartbeats.
    pub const WATCH: Duration = BEAT.saturating_mul(3);

    /// Asks a backend for what it has, and leaves out what belongs to a client that lives, or to a detached job. All
    /// clients that do not say that they have ended are watched together for `watch`.
    ///
    /// # Errors
    /// When the platform or the storage cannot be asked: nothing is known then.
    pub async fn find(
        backend: &dyn ComputeBackend,
        (storage, locator): (&StorageClient, &Locator),
        watch: Duration,
    ) -> Result<Self> {
        let mark = FleetMark::of_storage(locator);
        let is_elsewhere = |left: &Leftover| left.fleet.as_ref().is_some_and(|fleet| fleet.storage != mark);
        let (elsewhere, mut gone): (Vec<_>, Vec<_>) =
            backend.leftovers().await?.into_iter().partition(is_elsewhere);
        let fleets = gone.iter().filter_map(|left| Some(left.fleet.as_ref()?.name.clone())).collect();
        let used = used(storage, fleets, watch).await?;
        gone.retain(|left| left.fleet.as_ref().is_none_or(|fleet| !used.contains(&fleet.name)));
        Ok(Self { gone, elsewhere })
    }
}

/// Those of the fleets whose clients live, or that have a detached job.
async fn used(
    storage: &StorageClient,
    fleets: BTreeSet<String>,
    watch: Duration,
) -> Result<BTreeSet<String>> {
    let before = said(storage, &fleets).await?;
    if before.values().any(Option::is_some) {
        sleep(watch).await;
    }
    let after = said(storage, &fleets).await?;
    let mut used = BTreeSet::new();
    for fleet in fleets {
        let lives = after[&fleet].is_some() && after[&fleet] != before[&fleet];
        if lives || has_detached_job(storage, &fleet).await? {
            used.insert(fleet);
        }
    }
    Ok(used)
}

/// What the clients of fleets have said last.
async fn said(
    storage: &StorageClient,
    fleets: &BTreeSet<String>,
) -> Result<BTreeMap<String, Option<ClientState>>> {
    let mut said = BTreeMap::new();
    for fleet in fleets {
        let key = client_key(&folder_of(fleet));
        said.insert(fleet.clone(), insist(|| said_by_client(storage, &key)).await?);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::{
        board::LeaseConfig,
        compute::{
            BackendInfo, Capabilities, Check, CloseMode, Invocation, InvocationId, InvokeRequest, Package,
            Runtime, RuntimeId, RuntimeSpec,
        },
        error::{Error, ErrorKind},
        fleet::{ClientFleet, JobManifest},
        id::JobId,
        protocol::JobSpec,
        storage::MemoryStorage,
        tracker::Policy,
    };

    /// A platform that has these things.
    #[derive(Debug)]
    struct Platform(Mutex<Vec<Leftover>>, Capabilities);

    #[async_trait]
    impl ComputeBackend for Platform {
        fn info(&self) -> BackendInfo {
            BackendInfo { scheme: "platform", region: None, location: "here".into() }
        }

        fn capabilities(&self) -> &Capabilities {
            &self.1
        }

        async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
            Err(unsupported())
        }

        async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
            Err(unsupported())
        }

        async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
            Ok(Vec::new())
        }

        async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
            Err(unsupported())
        }

        async fn invoke(&self, _: InvokeRequest) -> Result<Invocation> {
            Err(unsupported())
        }

        async fn leftovers(&self) -> Result<Vec<Leftover>> {
            Ok(self.0.lock().expect("a lock").clone())
        }

        async fn cancel(&self, _: &InvocationId) -> Result<()> {
            Ok(())
        }

        async fn check(&self) -> Vec<Check> {
            Vec::new()
        }

        async fn close(&self, _: CloseMode) -> Result<()> {
            Ok(())
        }
    }

    fn unsupported() -> Error {
        Error::new(ErrorKind::Unsupported, "not this platform")
    }

    fn locator() -> Locator {
        Locator::new("memory", "bucket")
    }

    fn left(id: &str, fleet: Option<FleetMark>) -> Leftover {
        Leftover { id: id.into(), what: "a worker".into(), fleet, since: None, usd_per_hour: None }
    }

    fn manifest(detached: bool) -> JobManifest {
        let spec = JobSpec::blank(JobId::generate());
        JobManifest::new(
            spec,
            (0, 1),
            Vec::new(),
            Policy::default(),
            LeaseConfig::default(),
            (detached, None),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn what_belongs_to_clients_that_are_gone_is_found_and_nothing_else() {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        let fleet = || {
            let fleet = ClientFleet::new(&storage, &locator(), LeaseConfig::default());
            Arc::new(fleet.expect("a fleet"))
        };
        let (living, ended, silent, detached) = (fleet(), fleet(), fleet(), fleet());
        // The heartbeats of a client run on a runtime of the library's own, which has no virtual time.
        let says = living.fleet.clone();
        tokio::spawn(async move {
            for beat in 1.. {
                let state = ClientState { beat, ..ClientState::default() };
                says.put_client(state).await.expect("stored");
                sleep(BEAT).await;
            }
        });
        let state = ClientState { beat: 7, ..ClientState::default() };
        silent.fleet.put_client(state).await.expect("stored");
        detached.put(&manifest(true)).await.expect("stored");
        detached.end().await.expect("ended");
        tokio::task::yield_now().await;
        let of = |fleet: &ClientFleet| Some(FleetMark::of(&fleet.launch));
        let other = Locator::new("memory", "another");
        let other = FleetMark { storage: FleetMark::of_storage(&other), ..FleetMark::of(&silent.launch) };
        let platform = Platform(
            Mutex::new(vec![
                left("living", of(&living)),
                left("ended", of(&ended)),
                left("silent", of(&silent)),
                left("detached", of(&detached)),
                left("unused", None),
                left("elsewhere", Some(other)),
            ]),
            Capabilities::local(1),
        );
        let begun = tokio::time::Instant::now();
        let found = Leftovers::find(&platform, (&storage, &locator()), Leftovers::WATCH).await;
        let found = found.expect("it is found");
        assert_eq!(begun.elapsed(), Leftovers::WATCH, "clients are watched together");
        let ids = |left: &[Leftover]| left.iter().map(|left| left.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&found.gone), ["ended", "silent", "unused"]);
        assert_eq!(ids(&found.elsewhere), ["elsewhere"]);
        // A client that has ended is not watched, and a detached job holds its workers until it is removed.
        platform.0.lock().expect("a lock").retain(|left| matches!(&*left.id, "ended" | "detached"));
        let keys = storage.list_keys("bucket", "lithops.fleets/").await.expect("listed");
        for key in keys.iter().filter(|key| key.contains("/jobs/")) {
            storage.delete_object("bucket", key).await.expect("removed");
        }
        let begun = tokio::time::Instant::now();
        let found = Leftovers::find(&platform, (&storage, &locator()), Leftovers::WATCH).await;
        assert_eq!(ids(&found.expect("it is found").gone), ["ended", "detached"]);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
