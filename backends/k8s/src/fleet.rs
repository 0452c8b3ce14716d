//! [`K8sFleet`]: the workers of one fleet: how many there are, and what keeps the others from starting.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lithops_core::{
    compute::{Scaled, WaitingWorkers, WorkerEnd},
    error::{Error, ErrorKind, Result},
    protocol::{Launch, Secrets},
};

use lithops_kubernetes::{Cluster, failure};

use crate::{
    cluster_state::{ClusterState, Ended, Said, SeenPod},
    config::K8sConfig,
    manifest::{Transport, Wave, WorkerImage, prefix},
    pod_state::{Outlook, PodState},
    waves::{self, Created, Warning},
};

/// The most workers of one wave.
const WAVE: usize = 1000;
/// How long what keeps pods from starting may last until it is in vain, where it may pass: a registry may be away for a moment.
const DOUBT: Duration = Duration::from_secs(90);
/// After this many workers in a row that ended before they were seen to run, while none runs, no further one is started. Those
/// that ran are the executor's to judge.
const IN_VAIN: usize = 5;
/// After this many waves in a row that failed as a whole before a worker ran, no further one is made.
const FAILED_WAVES: usize = 3;
/// How often the warnings are read, while workers are missing.
const WARNINGS: Duration = Duration::from_secs(3);

/// The workers of one fleet in the cluster.
#[derive(Debug)]
pub(crate) struct K8sFleet {
    launch: Launch,
    state: ClusterState,
    /// The names of the Jobs of the waves that were created.
    waves: BTreeSet<String>,
    next: u64,
    /// Whether the next wave was begun to be created, and may be there.
    is_begun: bool,
    warnings: BTreeMap<String, Warning>,
    warned: Option<Instant>,
    /// Since when something that may pass keeps pods from starting.
    doubted: Option<Instant>,
    in_vain: usize,
}

/// What the workers of a fleet are started from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) config: &'a K8sConfig,
    pub(crate) image: &'a WorkerImage,
    pub(crate) secrets: Option<&'a Secrets>,
    pub(crate) client: &'a str,
    pub(crate) transport: Transport<'a>,
}

impl K8sFleet {
    /// A fleet without workers. Must be called inside a Tokio runtime.
    pub(crate) fn new(cluster: &Cluster, launch: &Launch) -> Self {
        Self {
            launch: launch.clone(),
            state: ClusterState::watch(cluster, &launch.fleet),
            waves: BTreeSet::new(),
            next: 1,
            is_begun: false,
            warnings: BTreeMap::new(),
            warned: None,
            doubted: None,
            in_vain: 0,
        }
    }

    /// Asks for workers until `wanted` of them run or are coming; gives the state of the fleet.
    ///
    /// # Errors
    /// When workers can never run, or the cluster does not say what there is.
    pub(crate) async fn scale(&mut self, wanted: usize, start: Start<'_>) -> Result<Scaled> {
        let failure = self.state.lock().failure();
        if let Some(error) = failure {
            return Err(error);
        }
        let missing = self.missing(wanted);
        let (mut refused, mut retry_after) = (None, None);
        if missing > 0 {
            self.look_at_failed_waves()?;
            let wave = Wave {
                config: start.config,
                launch: &self.launch,
                number: self.next,
                workers: missing,
                image: start.image,
                secrets: start.secrets,
                client: start.client,
                transport: start.transport,
            };
            // Also one whose creation fails half-way, or is not waited for any more, is to be deleted in the end.
            self.is_begun = true;
            match waves::create(start.cluster, &wave).await? {
                Created::There(job) => {
                    self.waves.insert(wave.name());
                    (self.next, self.is_begun) = (self.next + 1, false);
                    // The watch may not have told of it yet.
                    self.state.lock().note_created(&job);
                }
                Created::Waits(why, after) => {
                    refused = Some(WaitingWorkers { count: missing, why, is_hopeless: false });
                    retry_after = after;
                }
            }
        }
        self.read_warnings(start.cluster).await;
        let mut scaled = self.scaled()?;
        scaled.waiting.extend(refused);
        scaled.retry_after = retry_after;
        Ok(scaled)
    }

    /// Deletes the Jobs whose workers wait for something, which they would do in vain; those whose workers have started are
    /// left, and end with them.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses.
    pub(crate) async fn end(&mut self, cluster: &Cluster, also_running: bool) -> Result<()> {
        let unfinished: Vec<String> = {
            let said = self.state.lock();
            // The Job may not have counted those yet.
            let ended = |name: &str| {
                let ended = |pod: &&SeenPod| pod.job == name && matches!(pod.state, PodState::Ended(_));
                said.pods.values().filter(ended).count()
            };
            let is_over = |name: &str| said.jobs.get(name).is_some_and(|job| job.remaining == 0);
            let may_wait_long = |name: &str| {
                let pods = || said.pods.values().filter(|pod| pod.job == name);
                // Those that are coming end as soon as they see that the fleet has.
                let waits = |pod: &SeenPod| match pod.state {
                    PodState::Waits { .. } => true,
                    PodState::Coming => pod.node.is_none() || self.warnings.contains_key(&pod.name),
                    _ => false,
                };
                let job = said.jobs.get(name);
                let started = |pod: &&SeenPod| !matches!(pod.state, PodState::Ended(_));
                let lacks_pods =
                    job.is_none_or(|job| job.remaining > pods().filter(started).count() + ended(name));
                pods().any(waits) || lacks_pods
            };
            let names = self.waves.iter().filter(|name| !is_over(name));
            names.filter(|name| also_running || may_wait_long(name)).cloned().collect()
        };
        let begun = self.is_begun.then(|| format!("{}{}", prefix(&self.launch.fleet), self.next));
        let mut failed = None;
        for name in unfinished.into_iter().chain(begun) {
            if let Err(error) = waves::delete(cluster, &name).await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The name of a worker's pod.
    pub(crate) fn pod_name(&self, worker: &str) -> Option<String> {
        self.state.lock().pods.get(worker).map(|pod| pod.name.clone())
    }

    /// How many workers are to be asked for. A worker whose node is silent has another in its place, and may come back:
    /// there are never more than twice as many as were wanted.
    fn missing(&self, wanted: usize) -> usize {
        let said = self.state.lock();
        let (all, silent) = self.at_hand(&said);
        let missing = wanted.saturating_sub(all - silent);
        missing.min((2 * wanted).saturating_sub(all)).min(WAVE)
    }

    /// How many workers run, are coming or wait, as far as their Jobs go on, and how many of them are on silent nodes.
    fn at_hand(&self, said: &Said) -> (usize, usize) {
        let (mut all, mut silent) = (0, 0);
        for name in &self.waves {
            let remaining = said.jobs.get(name).map_or(0, |job| job.remaining);
            let pods = said.pods.values().filter(|pod| pod.job == *name && pod.state == PodState::Silent);
            all += remaining;
            silent += pods.count().min(remaining);
        }
        (all, silent)
    }

    /// Jobs that fail as a whole before any worker runs would be made for ever.
    fn look_at_failed_waves(&self) -> Result<()> {
        let said = self.state.lock();
        let failed: Vec<&String> = said.jobs.values().filter_map(|job| job.failed.as_ref()).collect();
        match failed.last() {
            Some(words) if failed.len() >= FAILED_WAVES && !said.has_run => {
                let problem =
                    format!("{} Jobs in a row have failed before a worker ran: {words}", failed.len());
                Err(Error::new(ErrorKind::WorkerLost, problem).with_hint(self.where_to_look()))
            }
            _ => Ok(()),
        }
    }

    /// Reads the warnings, while workers are missing. Without them less is known, and nothing else is wrong.
    async fn read_warnings(&mut self, cluster: &Cluster) {
        let is_missing = {
            let said = self.state.lock();
            let live = said.pods.values().filter(|pod| pod.state == PodState::Live).count();
            self.at_hand(&said).0 > live
        };
        if !is_missing || self.warned.is_some_and(|at| at.elapsed() < WARNINGS) {
            return;
        }
        self.warned = Some(Instant::now());
        match waves::warnings(cluster, &self.launch.fleet).await {
            Ok(warnings) => self.warnings = warnings,
            Err(error) => tracing::debug!(%error, "no warnings"),
        }
    }

    fn scaled(&mut self) -> Result<Scaled> {
        let mut said = self.state.lock();
        let ended = std::mem::take(&mut said.ended);
        let mut scaled = Scaled::default();
        // The reasons, each with its outlook and how many workers it keeps.
        let mut reasons: BTreeMap<String, (Outlook, usize)> = BTreeMap::new();
        let mut keeps = |why: String, outlook: Outlook, count: usize| {
            let reason = reasons.entry(why).or_insert((outlook, 0));
            reason.1 += count;
        };
        let mut started = 0;
        for (uid, pod) in &said.pods {
            match &pod.state {
                PodState::Live => scaled.live.push(uid.clone()),
                PodState::Coming => match self.warnings.get(&pod.name) {
                    // Such as a volume that cannot be mounted: the status of the pod does not tell.
                    Some(warning) => keeps(grouped(&warning.words), Outlook::Open, 1),
                    None => scaled.coming += 1,
                },
                PodState::Waits { why, outlook } => keeps(grouped(why), *outlook, 1),
                // Another takes its place meanwhile.
                PodState::Silent => keeps(silent(pod), Outlook::Open, 1),
                PodState::Leaving | PodState::Ended(_) => continue,
            }
            started += 1;
        }
        // Pods that their Jobs have not made yet.
        let at_hand = self.at_hand(&said).0;
        let absent = at_hand.saturating_sub(started);
        match (absent > 0).then(|| self.why_absent(&said)).flatten() {
            Some((why, outlook)) => keeps(why, outlook, absent),
            None => scaled.coming += absent,
        }
        let is_doubtful = reasons.values().any(|(outlook, _)| *outlook == Outlook::Doubtful);
        self.doubted = is_doubtful.then(|| self.doubted.unwrap_or_else(Instant::now));
        for (why, (outlook, count)) in reasons {
            let is_hopeless = match outlook {
                Outlook::Open => false,
                Outlook::Hopeless => !said.has_run,
                Outlook::Doubtful => {
                    !said.has_run && self.doubted.is_some_and(|since| since.elapsed() > DOUBT)
                }
            };
            scaled.waiting.push(WaitingWorkers { count, why, is_hopeless });
        }
        drop(said);
        self.count_vain_starts(&ended, scaled.live.is_empty(), at_hand)?;
        scaled.ended = ended.into_iter().map(|ended| (ended.worker, ended.end)).collect();
        Ok(scaled)
    }

    /// Why Jobs have not made their pods, and what is to be expected.
    fn why_absent(&self, said: &Said) -> Option<(String, Outlook)> {
        let open = self.waves.iter().rev().filter_map(|name| Some((name, said.jobs.get(name)?)));
        for (name, job) in open.filter(|(_, job)| job.remaining > 0) {
            // A warning that is older than a pod of the Job says nothing of the pods that are missing now.
            let made = said.pods.values().filter(|pod| pod.job == *name).map(|pod| pod.made).max();
            let warning = self.warnings.get(name).filter(|warning| made.is_none_or(|made| warning.at > made));
            if let Some(warning) = warning {
                return Some((grouped(&warning.words), outlook(&warning.words)));
            }
            if job.is_suspended {
                let why = format!("the Job `{name}` is suspended: its queue has not admitted it yet");
                return Some((why, Outlook::Open));
            }
        }
        None
    }

    /// A worker that ends by itself is started again by its Job, but not for ever where none has ever run.
    fn count_vain_starts(&mut self, ended: &[Ended], none_lives: bool, at_hand: usize) -> Result<()> {
        // What refuses says more than those that only ended.
        let refuses = |ended: &Ended| matches!(ended.end, WorkerEnd::Refused(_));
        if !none_lives || ended.iter().any(|ended| ended.has_run || refuses(ended)) {
            self.in_vain = 0;
            return Ok(());
        }
        let mut last = None;
        for ended in ended {
            match &ended.end {
                WorkerEnd::Lost(words) => last = Some(words.as_str()),
                WorkerEnd::OutOfMemory => last = Some("it took more memory than `runtime_memory`"),
                WorkerEnd::Finished => self.in_vain = 0,
                WorkerEnd::Evicted | WorkerEnd::Refused(_) => continue,
            }
            self.in_vain += usize::from(ended.end != WorkerEnd::Finished);
        }
        match last {
            // One bad node is no reason while others may be good.
            Some(words) if self.in_vain >= IN_VAIN.max(2 * at_hand) => {
                let count = std::mem::take(&mut self.in_vain);
                let problem = format!("{count} workers in a row ended before they ran; of the last: {words}");
                Err(Error::new(ErrorKind::WorkerLost, problem).with_hint(self.where_to_look()))
            }
            _ => Ok(()),
        }
    }

    fn where_to_look(&self) -> String {
        format!(
            "look at the pods: `kubectl describe pods -l app.kubernetes.io/managed-by=lithops`; their names begin with `{}`",
            prefix(&self.launch.fleet)
        )
    }
}

fn silent(pod: &SeenPod) -> String {
    format!("the node `{}` says nothing any more", pod.node.as_deref().unwrap_or("?"))
}

/// The platform's words without what differs from pod to pod, so that one reason is said once.
fn grouped(why: &str) -> String {
    let why = why.split(": back-off ").next().unwrap_or(why);
    // The controller of Jobs names the pod that it could not make.
    match why.split_once("pods \"").and_then(|(before, rest)| Some((before, rest.split_once("\" ")?.1))) {
        Some((before, after)) => format!("{before}pods {after}"),
        None => why.to_owned(),
    }
}

/// What is to be expected where the controller of Jobs cannot make a pod.
fn outlook(warning: &str) -> Outlook {
    let says = |all: &[&str]| all.iter().any(|words| warning.contains(words));
    if failure::is_quota(warning) {
        Outlook::Open
    } else if says(&["violates PodSecurity", "is invalid", "denied the request"]) {
        Outlook::Hopeless
    } else if says(&["forbidden", "not found"]) {
        // A service account, a priority class or a webhook may only be on its way.
        Outlook::Doubtful
    } else {
        Outlook::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_waited_for_and_the_rest_is_not() {
        for (warning, wanted) in [
            ("FailedCreate: Error creating: pods \"x\" is forbidden: exceeded quota: few", Outlook::Open),
            (
                "FailedCreate: Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted\"",
                Outlook::Hopeless,
            ),
            ("FailedCreate: Error creating: Pod \"x\" is invalid: spec", Outlook::Hopeless),
            (
                "FailedCreate: error looking up service account batch/w: serviceaccount \"w\" not found",
                Outlook::Doubtful,
            ),
            ("FailedMount: timed out", Outlook::Open),
        ] {
            assert_eq!(outlook(warning), wanted, "{warning}");
        }
    }

    #[test]
    fn one_reason_is_said_once() {
        let quota =
            "FailedCreate: Error creating: pods \"lithops-1-0-x2x\" is forbidden: exceeded quota: few";
        assert_eq!(grouped(quota), "FailedCreate: Error creating: pods is forbidden: exceeded quota: few");
        let one = "ImagePullBackOff: Back-off pulling image \"x\": ErrImagePull: no such image: back-off 10s";
        assert_eq!(
            grouped(one),
            "ImagePullBackOff: Back-off pulling image \"x\": ErrImagePull: no such image"
        );
    }
}
