//! [`FedFleet`]: the pods of a client that are fed: as many as its requests need, connected as soon as they run, warm
//! between jobs, and ended with the client.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join_all};
use lithops_core::{
    compute::{ExitReason, Invocation, InvokeRequest, WaitingWorkers, WorkerChannel, WorkerEnd},
    error::{Error, ErrorKind, Result, Retry},
    id::new_uuid,
    protocol::{Launch, Program, ProgramId, RelayEnd, Secrets, Setup, SignKey},
    storage::Locator,
};
use lithops_kubernetes::Cluster;
use tokio::{sync::Notify, time::timeout};

use super::{
    connect::{Connection, connect},
    members::{Member, Members},
};
use crate::{
    config::K8sConfig,
    fleet::{K8sFleet, Start},
    manifest::{Transport, WorkerImage},
};

/// How often the pods are looked at while workers are waited for, and otherwise.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(1);
/// Requests that are made together are to be one Job.
const TOGETHER: Duration = Duration::from_millis(20);
/// How long the cluster may fail before that is an error.
const DOUBT: Duration = Duration::from_secs(300);
/// How long the cluster may take to say how a worker has ended, whose connection was cut.
const TO_SAY: Duration = Duration::from_secs(5);
/// How long workers may take to be told that they are not needed any more.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a sub-worker that was asked to end may take before its worker kills it.
const GRACE: Duration = Duration::from_millis(500);

/// What the pods of a fleet are started from.
#[derive(Debug)]
pub(crate) struct FedStart {
    pub(crate) cluster: Cluster,
    pub(crate) config: K8sConfig,
    pub(crate) image: WorkerImage,
    /// The program of the calls, where the image holds `lithops-worker` alone.
    pub(crate) program: Option<ProgramId>,
    /// What opens the storage: it goes to the workers over their channels.
    pub(crate) secrets: Option<Secrets>,
    pub(crate) storage: Locator,
    /// Who asks for the pods, for people that look at the cluster.
    pub(crate) client: String,
    pub(crate) max_workers: usize,
}

/// The pods of a client that are fed.
#[derive(Debug)]
pub(crate) struct FedFleet {
    start: FedStart,
    members: Mutex<Members>,
    /// The pods of the fleet; `None` while none is needed.
    pods: tokio::sync::Mutex<Option<Pods>>,
    /// Wakes the requests that wait for a worker.
    changed: Notify,
    /// Wakes the task that looks after the pods.
    wanted: Arc<Notify>,
}

/// The pods of a fleet, and what opens their workers for this client.
#[derive(Debug)]
struct Pods {
    fleet: K8sFleet,
    launch: Launch,
    key: Arc<SignKey>,
    fails_since: Option<Instant>,
}

impl FedFleet {
    /// A fleet without workers. Must be called inside a runtime that stays.
    pub(crate) fn new(start: FedStart) -> Arc<Self> {
        let fleet = Arc::new(Self {
            start,
            members: Mutex::default(),
            pods: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            wanted: Arc::default(),
        });
        tokio::spawn(look_after(Arc::downgrade(&fleet), Arc::clone(&fleet.wanted)));
        fleet
    }

    /// Hands a request to a worker, once there is one for it.
    ///
    /// # Errors
    /// When no worker can come.
    pub(crate) async fn invoke(&self, request: &InvokeRequest) -> Result<Invocation> {
        let (mut demand, seen) = (None, self.members().failures);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let mut members = self.members();
                if let Some(invocation) = members.invoke(request, self.start.max_workers)? {
                    return Ok(invocation);
                }
                if let Some((number, error)) = &members.failure
                    && *number > seen
                {
                    return Err(error.again());
                }
            }
            if demand.is_none() {
                demand = Some(Demand::of(self));
            }
            changed.await;
        }
    }

    /// What workers wait for that are not there.
    pub(crate) fn awaited(&self) -> Vec<WaitingWorkers> {
        self.members().waiting.clone()
    }

    /// Ends the calls of an invocation; its worker lives on.
    pub(crate) fn cancel(&self, id: &lithops_core::compute::InvocationId) {
        self.members().connected.iter().for_each(|member| member.channel.cancel(id));
    }

    /// Ends the worker of an invocation, with all its jobs.
    pub(crate) fn discard(&self, id: &lithops_core::compute::InvocationId) {
        let mut members = self.members();
        members.connected.retain(|member| {
            let has = member.channel.has(id);
            if has {
                member.cut.abort();
            }
            !has
        });
    }

    /// Ends the workers that no job needs, and lets the cluster start no more of them; `now` ends all.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub(crate) async fn close(&self, now: bool) -> Result<()> {
        let (taken, demand) = {
            let mut members = self.members();
            members.waiting.clear();
            (std::mem::take(&mut members.connected), members.demand)
        };
        let mut are_busy = false;
        let mut goodbyes = Vec::new();
        for member in taken {
            match member.channel.jobs() {
                0 => goodbyes.push(member.ended.clone()),
                // It ends with its last job.
                _ if !now => are_busy = true,
                _ => member.cut.abort(),
            }
        }
        // The handles are gone, so that each worker is told that its client is.
        let _ = timeout(FAREWELL, join_all(goodbyes)).await;
        if !now && (are_busy || demand > 0) {
            return Ok(());
        }
        match self.pods.lock().await.take() {
            Some(mut pods) => pods.fleet.end(&self.start.cluster, true).await,
            None => Ok(()),
        }
    }

    /// Lets the cluster start no more workers for which it has no room, once no job needs them.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub(crate) async fn withdraw(&self) -> Result<()> {
        let is_vain = {
            let members = self.members();
            let is_idle = members.connected.iter().all(|member| member.channel.jobs() == 0);
            !members.waiting.is_empty() && members.demand == 0 && is_idle
        };
        if is_vain { self.close(false).await } else { Ok(()) }
    }

    /// Looks at the pods: asks for those that are missing, and connects to those that have come.
    async fn look(self: &Arc<Self>) {
        let wanted = {
            let mut members = self.members();
            members.prune(self.start.config.lease.patience);
            members.wanted(self.start.max_workers)
        };
        let mut pods = self.pods.lock().await;
        if pods.is_none() && wanted == 0 {
            return;
        }
        let pods = match &mut *pods {
            Some(pods) => pods,
            none => match self.new_pods() {
                Ok(new) => none.insert(new),
                Err(error) => return self.fail(error),
            },
        };
        let start = Start {
            cluster: &self.start.cluster,
            config: &self.start.config,
            image: &self.start.image,
            secrets: None,
            client: &self.start.client,
            transport: Transport::Serve(self.start.program.as_ref()),
        };
        match pods.fleet.scale(wanted, start).await {
            Ok(scaled) => {
                pods.fails_since = None;
                let mut members = self.members();
                for (worker, end) in scaled.ended {
                    if let WorkerEnd::Refused(words) = &end {
                        let problem = format!("a worker cannot work: {words}");
                        members.fail(Error::new(ErrorKind::WorkerLost, problem));
                    }
                    members.note_end(worker, end);
                }
                let hopeless = scaled.waiting.iter().find(|waiting| waiting.is_hopeless);
                if let Some(hopeless) = hopeless {
                    let problem = format!("{} workers can never start: {}", hopeless.count, hopeless.why);
                    members.fail(Error::new(ErrorKind::WorkerLost, problem));
                }
                members.waiting = scaled.waiting;
                for worker in scaled.live {
                    if let Some(name) = pods.fleet.pod_name(&worker)
                        && members.known.insert(worker.clone())
                    {
                        tokio::spawn(meet(
                            Arc::clone(self),
                            worker,
                            name,
                            pods.launch.clone(),
                            Arc::clone(&pods.key),
                        ));
                    }
                }
            }
            Err(error) => {
                let since = *pods.fails_since.get_or_insert_with(Instant::now);
                let may_pass = error.retry() == Retry::Later
                    || matches!(error.kind(), ErrorKind::RateLimited | ErrorKind::Timeout);
                if !may_pass || since.elapsed() > DOUBT {
                    pods.fails_since = None;
                    self.fail(error);
                } else {
                    tracing::debug!(%error, "the cluster fails");
                    let mut members = self.members();
                    let (count, why) = (members.demand, error.to_string());
                    members.waiting = vec![WaitingWorkers { count, why, is_hopeless: false }];
                }
            }
        }
        // Also those that wait for how a worker has ended.
        self.changed.notify_waiters();
    }

    fn new_pods(&self) -> Result<Pods> {
        let (key, lease) = (SignKey::generate()?, &self.start.config.lease);
        let launch = Launch::new(&new_uuid().to_string(), key.verify_key(), self.start.storage.clone());
        let launch = Launch { orphan: lease.orphan, grace: lease.grace, ..launch };
        let fleet = K8sFleet::new(&self.start.cluster, &launch);
        Ok(Pods { fleet, launch, key: Arc::new(key), fails_since: None })
    }

    fn fail(&self, error: Error) {
        self.members().fail(error);
        self.changed.notify_waiters();
    }

    /// What the cluster says of the end of a worker.
    async fn end_of(&self, worker: &str) -> Option<WorkerEnd> {
        self.members().mourners += 1;
        let said = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                self.wanted.notify_one();
                if let Some(end) = self.members().ends.remove(worker) {
                    return end;
                }
                changed.await;
            }
        };
        let said = timeout(TO_SAY, said).await.ok();
        self.members().mourners -= 1;
        said
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for a worker, until it is dropped.
struct Demand<'a>(&'a FedFleet);

impl<'a> Demand<'a> {
    fn of(fleet: &'a FedFleet) -> Self {
        fleet.members().demand += 1;
        fleet.wanted.notify_one();
        Self(fleet)
    }
}

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.0.members().demand -= 1;
    }
}

/// Looks after the pods until the fleet is dropped.
async fn look_after(fleet: Weak<FedFleet>, wanted: Arc<Notify>) {
    loop {
        let Some(present) = fleet.upgrade() else { return };
        present.look().await;
        let is_busy = {
            let members = present.members();
            members.demand > 0 || members.mourners > 0
        };
        drop(present);
        let _ = timeout(if is_busy { SOON } else { LATER }, wanted.notified()).await;
        tokio::time::sleep(TOGETHER).await;
    }
}

/// Connects to a worker that runs, and greets it.
async fn meet(fleet: Arc<FedFleet>, worker: String, name: String, launch: Launch, key: Arc<SignKey>) {
    let connection = match connect(&fleet.start.cluster, &name, &worker, &launch, &key).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(pod = name, %error, "cannot connect");
            // A pod that has ended says so itself. Another is tried again, when the connection is asked for again.
            if fleet.members().known.remove(&worker) {
                fleet.fail(error);
            }
            return;
        }
    };
    let Connection { channel, ended, cut } = connection;
    let setup = Setup {
        // The worker knows its own.
        program: Program { path: "/".into(), arguments: Vec::new() },
        grace: GRACE,
        launch: None,
        secrets: fleet.start.secrets.clone(),
    };
    let (lost, relayed, uid, weak) = (cut.clone(), ended.clone(), worker.clone(), Arc::downgrade(&fleet));
    let how_it_ended = move |broken: Option<Error>| {
        async move {
            if broken.is_some() {
                lost.abort();
            }
            how_ended(broken, relayed.await, &uid, &name, weak).await
        }
        .boxed()
    };
    let secrets = fleet.start.secrets.as_ref();
    let greeted = WorkerChannel::greet(worker, channel, &setup, secrets, Box::new(how_it_ended));
    {
        let mut members = fleet.members();
        match greeted {
            Ok(channel) => members.connected.push(Member::new(Arc::new(channel), ended, cut)),
            Err(error) => members.fail(error),
        }
    }
    fleet.changed.notify_waiters();
}

/// How a worker has ended, by the cluster's word if it has one.
async fn how_ended(
    broken: Option<Error>,
    relayed: RelayEnd,
    worker: &str,
    name: &str,
    fleet: Weak<FedFleet>,
) -> ExitReason {
    match broken {
        Some(error) if error.kind() == ErrorKind::Io => return ExitReason::Broken(error.to_string()),
        Some(error) => return ExitReason::Refused(error.to_string()),
        None => {}
    }
    let cut = match relayed {
        RelayEnd::Closed => "it has closed its connection".to_owned(),
        RelayEnd::Cut(words) => words,
    };
    let Some(fleet) = fleet.upgrade() else { return ExitReason::Finished };
    let unknown = || ExitReason::Lost(format!("the worker in the pod `{name}` was lost: {cut}"));
    match fleet.end_of(worker).await {
        None => unknown(),
        Some(WorkerEnd::Finished) => unknown(),
        Some(WorkerEnd::OutOfMemory) => {
            let words =
                format!("the pod `{name}` took more memory than `runtime_memory`, and was ended for it");
            ExitReason::OutOfMemory(words)
        }
        Some(WorkerEnd::Evicted) => {
            ExitReason::Lost(format!("the pod `{name}` was taken away by the cluster"))
        }
        Some(WorkerEnd::Refused(words)) => ExitReason::Refused(words),
        Some(WorkerEnd::Lost(words)) => ExitReason::Lost(format!("the pod `{name}` was lost: {words}")),
    }
}
