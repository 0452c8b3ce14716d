//! [`PodState`]: what the status of a pod means for the worker that it is.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use lithops_core::compute::WorkerEnd;

use crate::manifest::{CONTAINER, EXIT_ELSEWHERE, EXIT_REFUSED};

/// What a pod's status means for the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodState {
    /// The platform starts it.
    Coming,
    /// The worker runs.
    Live,
    /// The pod is being ended. Its Job puts another in its place.
    Leaving,
    /// Its node says nothing any more. Its Job waits for it, so that another worker should take its place.
    Silent,
    /// The platform cannot start it.
    Waits {
        /// Why, in the platform's words.
        why: String,
        /// Whether it is in vain.
        outlook: Outlook,
    },
    /// It has ended.
    Ended(WorkerEnd),
}

/// What is to be expected of a pod that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// The platform may have room later.
    Open,
    /// In vain, unless it is a moment's failure.
    Doubtful,
    /// In vain: the specification is wrong.
    Hopeless,
}

/// Reasons of a waiting container that most often last, and may pass: a registry, or the cache of the kubelet, may be away for
/// a moment.
const DOUBTFUL: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "ImageInspectError",
    "CreateContainerConfigError",
];
/// The exit code of a container whose program was killed.
const KILLED: i32 = 137;
/// Reasons of a waiting container that no waiting mends.
const WRONG: &[&str] = &["InvalidImageName", "ErrImageNeverPull"];

impl PodState {
    /// What the status of a pod says.
    pub(crate) fn of(pod: &Pod) -> Self {
        let Some(status) = &pod.status else { return Self::Coming };
        let container =
            status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
        match status.phase.as_deref() {
            Some("Succeeded") => Self::Ended(WorkerEnd::Finished),
            Some("Failed") => Self::Ended(end(pod, container)),
            Some("Running") if is_silent(pod) => Self::Silent,
            _ if pod.metadata.deletion_timestamp.is_some() => Self::Leaving,
            Some("Running") if is_running(container) => Self::Live,
            _ => waits(pod, container),
        }
    }
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn is_running(container: Option<&ContainerStatus>) -> bool {
    container.and_then(|container| container.state.as_ref()).is_some_and(|state| state.running.is_some())
}

/// When a node has fallen silent, its pods are not ready although their containers are, as far as is known. Pods with a
/// readiness gate may be so for other reasons.
fn is_silent(pod: &Pod) -> bool {
    let has_gates =
        pod.spec.as_ref().is_some_and(|spec| spec.readiness_gates.iter().flatten().next().is_some());
    let is =
        |kind: &str, status: &str| condition(pod, kind).is_some_and(|condition| condition.status == status);
    !has_gates && is("Ready", "False") && is("ContainersReady", "True")
}

fn waits(pod: &Pod, container: Option<&ContainerStatus>) -> PodState {
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let outlook = match reason {
            "" | "ContainerCreating" | "PodInitializing" => return PodState::Coming,
            reason if WRONG.contains(&reason) => Outlook::Hopeless,
            reason if DOUBTFUL.contains(&reason) => Outlook::Doubtful,
            _ => Outlook::Open,
        };
        let message = waiting.message.as_deref().unwrap_or("no message is given");
        return PodState::Waits { why: format!("{reason}: {message}"), outlook };
    }
    match condition(pod, "PodScheduled") {
        Some(scheduled) if scheduled.status == "False" => {
            let reason = scheduled.reason.as_deref().unwrap_or("Unschedulable");
            let message = scheduled.message.as_deref().unwrap_or("no node takes the pod");
            PodState::Waits { why: format!("{reason}: {message}"), outlook: Outlook::Open }
        }
        _ => PodState::Coming,
    }
}

/// How a failed pod has ended.
fn end(pod: &Pod, container: Option<&ContainerStatus>) -> WorkerEnd {
    let ended = container.and_then(|container| container.state.as_ref()?.terminated.as_ref());
    let words = ended.and_then(|ended| ended.message.as_deref()).map(str::trim).unwrap_or_default();
    match ended.map(|ended| (ended.exit_code, ended.reason.as_deref().unwrap_or_default())) {
        // With another code the kernel has killed a process of the worker at some time, and the worker has ended otherwise.
        Some((KILLED, "OOMKilled")) => WorkerEnd::OutOfMemory,
        Some((EXIT_REFUSED, _)) => WorkerEnd::Refused(words.to_owned()),
        _ if is_taken_away(pod) => WorkerEnd::Evicted,
        Some((EXIT_ELSEWHERE, _)) => WorkerEnd::Lost(format!("it could not serve there: {words}")),
        Some((code, reason)) => {
            let said = if words.is_empty() { "it said nothing" } else { words };
            WorkerEnd::Lost(format!("its container ended with {code} ({reason}): {said}"))
        }
        None => {
            let message = pod.status.as_ref().and_then(|status| status.message.as_deref());
            let reason = status_reason(pod);
            WorkerEnd::Lost(format!(
                "its pod failed ({reason}): {}",
                message.unwrap_or("no message is given")
            ))
        }
    }
}

/// Whether the platform has ended the pod, or has never let it start: it is not the worker's fault.
fn is_taken_away(pod: &Pod) -> bool {
    const REASONS: &[&str] = &[
        "Evicted",
        "NodeAffinity",
        "NodeLost",
        "NodeShutdown",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
        "Preempting",
        "Shutdown",
        "Terminated",
        "UnexpectedAdmissionError",
    ];
    condition(pod, "DisruptionTarget").is_some_and(|target| target.status == "True")
        || REASONS.contains(&status_reason(pod))
        || pod.metadata.deletion_timestamp.is_some()
}

fn status_reason(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "w"}, "status": status})).expect("a pod")
    }

    fn state(status: Value) -> PodState {
        PodState::of(&pod(status))
    }

    fn container(state: Value) -> Value {
        json!([{"name": "lithops", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state}])
    }

    fn ended(code: i32, reason: &str, message: &str) -> PodState {
        let terminated = json!({"terminated": {"exitCode": code, "reason": reason, "message": message}});
        state(json!({"phase": "Failed", "containerStatuses": container(terminated)}))
    }

    #[test]
    fn how_a_worker_ended_is_told_by_its_code_and_the_platforms_reason() {
        assert_eq!(state(json!({"phase": "Succeeded"})), PodState::Ended(WorkerEnd::Finished));
        assert_eq!(ended(137, "OOMKilled", ""), PodState::Ended(WorkerEnd::OutOfMemory));
        let PodState::Ended(WorkerEnd::Lost(words)) = ended(75, "Error", "no storage") else {
            panic!("it is lost")
        };
        assert!(words.contains("could not serve there: no storage"), "{words}");
        let terminated = container(json!({"terminated": {"exitCode": 75, "reason": "Error"}}));
        let mut told = pod(json!({"phase": "Failed", "containerStatuses": terminated}));
        told.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-11-29T00:00:00Z")).expect("a time");
        assert_eq!(PodState::of(&told), PodState::Ended(WorkerEnd::Evicted));
        // A sub-worker was killed for its memory before.
        let terminated = container(json!({"terminated": {"exitCode": 75, "reason": "OOMKilled"}}));
        told.status =
            serde_json::from_value(json!({"phase": "Failed", "containerStatuses": terminated})).ok();
        assert_eq!(PodState::of(&told), PodState::Ended(WorkerEnd::Evicted));
        assert_eq!(
            ended(88, "Error", "no program\n"),
            PodState::Ended(WorkerEnd::Refused("no program".into()))
        );
        let PodState::Ended(WorkerEnd::Lost(words)) = ended(1, "Error", "boom") else { panic!("it is lost") };
        assert!(words.contains("ended with 1") && words.contains("boom"), "{words}");
        let PodState::Ended(WorkerEnd::Lost(words)) = ended(128, "StartError", "exec format error") else {
            panic!("it is lost")
        };
        assert!(words.contains("exec format error"), "{words}");
        let terminated = container(json!({"terminated": {"exitCode": 137, "reason": "Error"}}));
        let target =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);
        let evicted = json!({"phase": "Failed", "containerStatuses": terminated, "conditions": target});
        assert_eq!(state(evicted), PodState::Ended(WorkerEnd::Evicted));
        // An eviction for the disk sets no condition.
        let full = json!({"phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds"});
        assert_eq!(state(full), PodState::Ended(WorkerEnd::Evicted));
    }

    #[test]
    fn what_a_pod_waits_for_is_said_in_the_platforms_words() {
        let waiting = |reason: &str, message: &str| {
            let status = container(json!({"waiting": {"reason": reason, "message": message}}));
            state(json!({"phase": "Pending", "containerStatuses": status}))
        };
        assert_eq!(waiting("ContainerCreating", ""), PodState::Coming);
        for (reason, outlook) in [
            ("ErrImagePull", Outlook::Doubtful),
            ("ImagePullBackOff", Outlook::Doubtful),
            ("InvalidImageName", Outlook::Hopeless),
            ("CreateContainerConfigError", Outlook::Doubtful),
            ("ErrImageNeverPull", Outlook::Hopeless),
            ("CreateContainerError", Outlook::Open),
        ] {
            let why = format!("{reason}: no such thing");
            assert_eq!(waiting(reason, "no such thing"), PodState::Waits { why, outlook }, "{reason}");
        }
        let message = "0/2 nodes are available: 2 Insufficient cpu.";
        let scheduled = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
        let why = format!("Unschedulable: {message}");
        assert_eq!(
            state(json!({"phase": "Pending", "conditions": scheduled})),
            PodState::Waits { why, outlook: Outlook::Open }
        );
        assert_eq!(state(json!({"phase": "Pending"})), PodState::Coming);
    }

    #[test]
    fn a_pod_runs_until_its_node_falls_silent_or_it_is_ended() {
        let running = container(json!({"running": {}}));
        let ready = |status: &str| json!([{"type": "Ready", "status": status}, {"type": "ContainersReady", "status": "True"}]);
        let status = |ready| json!({"phase": "Running", "containerStatuses": running, "conditions": ready});
        assert_eq!(state(status(ready("True"))), PodState::Live);
        assert_eq!(state(status(ready("False"))), PodState::Silent);
        // A container beside ours is not ready.
        let beside =
            json!([{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False"}]);
        assert_eq!(state(status(beside)), PodState::Live);
        let mut ending = pod(status(ready("True")));
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-11-29T00:00:00Z")).expect("a time");
        assert_eq!(PodState::of(&ending), PodState::Leaving);
    }
}
