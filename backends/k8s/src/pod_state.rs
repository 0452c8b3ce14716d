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
    /// Its node says nothing any more, or the pod is being ended: another worker should take its place.
    Leaving,
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

/// Reasons of a waiting container that say that its image cannot be had. A registry may be away for a moment.
const NO_IMAGE: &[&str] =
    &["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"];
/// Reasons of a waiting container that no waiting mends.
const WRONG: &[&str] =
    &["InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "ImageInspectError"];

impl PodState {
    /// What the status of a pod says.
    pub(crate) fn of(pod: &Pod) -> Self {
        let Some(status) = &pod.status else { return Self::Coming };
        let container =
            status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
        match status.phase.as_deref() {
            Some("Succeeded") => Self::Ended(WorkerEnd::Finished),
            Some("Failed") => Self::Ended(end(pod, container)),
            Some("Running") if is_silent(pod) || pod.metadata.deletion_timestamp.is_some() => Self::Leaving,
            Some("Running") if is_running(container) => Self::Live,
            _ if pod.metadata.deletion_timestamp.is_some() => Self::Leaving,
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

/// A node that has fallen silent makes its pods not ready: they have no probe that could.
fn is_silent(pod: &Pod) -> bool {
    let is_false = condition(pod, "Ready").is_some_and(|ready| ready.status == "False");
    let container = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let is_up =
        container.into_iter().flatten().any(|container| container.name == CONTAINER && container.ready);
    is_false && is_up
}

fn waits(pod: &Pod, container: Option<&ContainerStatus>) -> PodState {
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let outlook = match reason {
            "" | "ContainerCreating" | "PodInitializing" => return PodState::Coming,
            reason if WRONG.contains(&reason) => Outlook::Hopeless,
            reason if NO_IMAGE.contains(&reason) => Outlook::Doubtful,
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
        Some((_, "OOMKilled")) => WorkerEnd::OutOfMemory,
        Some((EXIT_REFUSED, _)) => WorkerEnd::Refused(words.to_owned()),
        Some((EXIT_ELSEWHERE, _)) => WorkerEnd::Evicted,
        _ if condition(pod, "DisruptionTarget").is_some_and(|target| target.status == "True") => {
            WorkerEnd::Evicted
        }
        _ if status_reason(pod) == "Evicted" => WorkerEnd::Evicted,
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
        assert_eq!(ended(75, "Error", ""), PodState::Ended(WorkerEnd::Evicted));
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
            ("CreateContainerConfigError", Outlook::Hopeless),
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
        let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
        let status = |ready| json!({"phase": "Running", "containerStatuses": running, "conditions": ready});
        assert_eq!(state(status(ready("True"))), PodState::Live);
        assert_eq!(state(status(ready("False"))), PodState::Leaving);
        let mut ending = pod(status(ready("True")));
        ending.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-11-29T00:00:00Z")).expect("a time");
        assert_eq!(PodState::of(&ending), PodState::Leaving);
    }
}
