//! [`K8sFleet`]: the workers of one fleet: how many there are, and what keeps the others from starting.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lithops_core::{
    compute::{Scaled, WaitingWorkers, WorkerEnd},
    error::{Error, ErrorKind, Result, Retry},
    protocol::{Launch, Secrets},
};

use crate::{
    client::Cluster,
    cluster_state::{ClusterState, Said},
    config::K8sConfig,
    failure,
    manifest::{Wave, WorkerImage, prefix},
    pod_state::{Outlook, PodState},
    waves::{self, Created},
};

/// The most workers of one wave.
const WAVE: usize = 1000;
/// How long an image may be missing until waiting for it is in vain. A registry may be away for a moment.
const DOUBT: Duration = Duration::from_secs(90);
/// After this many workers in a row that ended by themselves, while none lives, no further one is started.
const IN_VAIN: u32 = 5;

/// The workers of one fleet in the cluster.
#[derive(Debug)]
pub(crate) struct K8sFleet {
    launch: Launch,
    state: ClusterState,
    /// The number of workers of each wave that was created, by the name of its Job.
    waves: BTreeMap<String, usize>,
    next: u64,
    /// Why the last wave could not be created.
    refused: Option<String>,
    /// Since when no image could be had.
    doubted: Option<Instant>,
    in_vain: u32,
}

/// What the workers of a fleet are started from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) config: &'a K8sConfig,
    pub(crate) image: &'a WorkerImage,
    pub(crate) secrets: Option<&'a Secrets>,
    pub(crate) client: &'a str,
}

impl K8sFleet {
    /// A fleet without workers. Must be called inside a Tokio runtime.
    pub(crate) fn new(cluster: &Cluster, launch: &Launch) -> Self {
        Self {
            launch: launch.clone(),
            state: ClusterState::watch(cluster, &launch.fleet),
            waves: BTreeMap::new(),
            next: 1,
            refused: None,
            doubted: None,
            in_vain: 0,
        }
    }

    /// Asks for workers until `wanted` of them run or are coming; gives the state of the fleet.
    ///
    /// # Errors
    /// When workers can never run.
    pub(crate) async fn scale(&mut self, wanted: usize, start: Start<'_>) -> Result<Scaled> {
        self.watch_failures()?;
        let missing = wanted.saturating_sub(self.at_hand()).min(WAVE);
        let mut retry_after = None;
        self.refused = None;
        if missing > 0 {
            let wave = Wave {
                config: start.config,
                launch: &self.launch,
                number: self.next,
                workers: missing,
                image: start.image,
                secrets: start.secrets,
                client: start.client,
            };
            match waves::create(start.cluster, &wave).await? {
                Created::There => {
                    self.waves.insert(wave.name(), missing);
                    self.next += 1;
                }
                Created::Waits(why, after) => (self.refused, retry_after) = (Some(why), after),
            }
        }
        let refused =
            self.refused.clone().map(|why| WaitingWorkers { count: missing, why, is_hopeless: false });
        let mut scaled = self.scaled()?;
        scaled.waiting.extend(refused);
        scaled.retry_after = retry_after;
        Ok(scaled)
    }

    /// A watch that the cluster refuses for good tells nothing ever.
    fn watch_failures(&self) -> Result<()> {
        let failure = &mut self.state.lock().failure;
        match failure.take_if(|error| error.retry() != Retry::Later) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// How many workers run, are coming or wait, as far as their Jobs go on. Those that leave are not counted.
    fn at_hand(&self) -> usize {
        let said = self.state.lock();
        let remaining: usize = self
            .waves
            .iter()
            .map(|(name, workers)| said.jobs.get(name).map_or(*workers, |job| job.remaining))
            .sum();
        let leaving = said.pods.values().filter(|pod| pod.state == PodState::Leaving).count();
        remaining.saturating_sub(leaving)
    }

    fn scaled(&mut self) -> Result<Scaled> {
        let at_hand = self.at_hand();
        let mut said = self.state.lock();
        let mut scaled = Scaled { ended: std::mem::take(&mut said.ended), ..Scaled::default() };
        let mut waiting: BTreeMap<(String, bool), usize> = BTreeMap::new();
        let mut is_doubtful = false;
        let mut started = 0;
        for (uid, pod) in &said.pods {
            match &pod.state {
                PodState::Live => {
                    started += 1;
                    scaled.live.push(uid.clone());
                }
                PodState::Coming => {
                    started += 1;
                    match said.warnings.get(&pod.name) {
                        // Such as a volume that cannot be mounted: the status of the pod does not tell.
                        Some(warning) => *waiting.entry((warning.clone(), false)).or_default() += 1,
                        None => scaled.coming += 1,
                    }
                }
                PodState::Waits { why, outlook } => {
                    started += 1;
                    is_doubtful |= *outlook == Outlook::Doubtful;
                    let is_hopeless = match outlook {
                        Outlook::Open => false,
                        Outlook::Hopeless => !said.has_run,
                        Outlook::Doubtful => {
                            !said.has_run && self.doubted.is_some_and(|since| since.elapsed() > DOUBT)
                        }
                    };
                    *waiting.entry((grouped(why), is_hopeless)).or_default() += 1;
                }
                PodState::Leaving | PodState::Ended(_) => {}
            }
        }
        self.doubted = is_doubtful.then(|| self.doubted.unwrap_or_else(Instant::now));
        // Pods that their Jobs have not made yet.
        let absent = at_hand.saturating_sub(started);
        match (absent > 0).then(|| self.why_absent(&said)).flatten() {
            Some((why, is_hopeless)) => *waiting.entry((why, is_hopeless)).or_default() += absent,
            None => scaled.coming += absent,
        }
        scaled.waiting = waiting
            .into_iter()
            .map(|((why, is_hopeless), count)| WaitingWorkers { count, why, is_hopeless })
            .collect();
        drop(said);
        self.count_vain_starts(&scaled)?;
        Ok(scaled)
    }

    /// Why Jobs have not made their pods; whether that is in vain.
    fn why_absent(&self, said: &Said) -> Option<(String, bool)> {
        let open = self.waves.keys().rev().filter_map(|name| Some((name, said.jobs.get(name)?)));
        for (name, job) in open.filter(|(_, job)| job.remaining > 0) {
            if let Some(warning) = said.warnings.get(name) {
                let may_pass = failure::is_quota(warning) || !is_refusal(warning);
                return Some((warning.clone(), !may_pass && !said.has_run));
            }
            if job.is_suspended {
                return Some((
                    format!("the Job `{name}` is suspended: its queue has not admitted it yet"),
                    false,
                ));
            }
        }
        None
    }

    /// A worker that ends by itself is started again, but not for ever where none has ever worked.
    fn count_vain_starts(&mut self, scaled: &Scaled) -> Result<()> {
        let mut last = None;
        for (_, end) in &scaled.ended {
            match end {
                WorkerEnd::Lost(words) => {
                    self.in_vain += 1;
                    last = Some(words);
                }
                WorkerEnd::Finished | WorkerEnd::Evicted | WorkerEnd::OutOfMemory => self.in_vain = 0,
                WorkerEnd::Refused(_) => {}
            }
        }
        match last {
            Some(words) if self.in_vain >= IN_VAIN && scaled.live.is_empty() => {
                let problem = format!(
                    "{} workers in a row ended by themselves; of the last: {words}",
                    std::mem::take(&mut self.in_vain)
                );
                Err(Error::new(ErrorKind::WorkerLost, problem).with_hint(format!(
                    "look at the pods: `kubectl describe pods -l app.kubernetes.io/managed-by=lithops`; their names begin with `{}`",
                    prefix(&self.launch.fleet)
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The platform's words without what differs from pod to pod, so that one reason is said once.
fn grouped(why: &str) -> String {
    why.split(": back-off ").next().unwrap_or(why).to_owned()
}

/// Whether the controller of Jobs is told that such pods may not be.
fn is_refusal(warning: &str) -> bool {
    ["forbidden", "is invalid", "not found", "Invalid value", "violates", "denied the request"]
        .iter()
        .any(|words| warning.contains(words))
}
