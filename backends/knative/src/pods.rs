//! What the pods of a Revision say of why no worker comes: a Revision that was ready once says nothing of them.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{Api, api::ListParams};
use lithops_kubernetes::Cluster;

use crate::manifest::CONTAINER;

/// The label with the Revision of a pod.
const REVISION: &str = "serving.knative.dev/revision";
/// Reasons of a container that waits which do not pass by themselves: the nodes have tried it several times.
const HOPELESS: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// Why the pods of a Revision never work; `None` while they may.
pub(crate) async fn why_none_comes(cluster: &Cluster, revision: &str) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    // Without an answer of the cluster nothing is known, and the worker may still come.
    let pods = pods.list(&ListParams::default().labels(&format!("{REVISION}={revision}"))).await.ok()?;
    hopeless(&pods.items)
}

/// What a worker waits for in vain, if all of them do.
fn hopeless(pods: &[Pod]) -> Option<String> {
    let waits = |pod: &Pod| {
        let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
        containers.iter().find(|container| container.name == CONTAINER).and_then(waits_in_vain)
    };
    let mut all = pods.iter().map(waits);
    let first = all.next()??;
    all.all(|other| other.is_some()).then_some(first)
}

fn waits_in_vain(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| HOPELESS.contains(reason))?;
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let message = match last {
        Some(ended) => {
            let words = ended.message.as_deref().map(str::trim).filter(|words| !words.is_empty());
            let code = format!("it ended with the exit code {}", ended.exit_code);
            let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
            let code = reason.map_or(code.clone(), |reason| format!("{code} ({reason})"));
            Some(words.map_or(code.clone(), |words| format!("{code}: {words}")))
        }
        None => waiting.message.clone(),
    };
    Some(message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(state: &Value, last: &Value) -> Pod {
        let status = json!({"containerStatuses": [
            {"name": "queue-proxy", "image": "", "imageID": "", "ready": true, "restartCount": 0},
            {"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 2, "state": state, "lastState": last},
        ]});
        serde_json::from_value(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "status": status}))
            .expect("a pod")
    }

    #[test]
    fn what_all_pods_wait_for_in_vain_is_why_none_comes() {
        let waits =
            |reason: &str| pod(&json!({"waiting": {"reason": reason, "message": "words"}}), &json!({}));
        assert_eq!(hopeless(&[waits("ImagePullBackOff")]).as_deref(), Some("ImagePullBackOff: words"));
        for passing in ["ErrImagePull", "ContainerCreating", "PodInitializing"] {
            assert_eq!(hopeless(&[waits(passing)]), None, "{passing}");
        }
        let works = pod(&json!({"running": {}}), &json!({}));
        assert_eq!(hopeless(&[waits("ImagePullBackOff"), works]), None, "another one works");
        assert_eq!(hopeless(&[]), None);
        let ended = json!({"terminated": {"exitCode": 2, "message": "cannot serve HTTP\n"}});
        let crashed = pod(&json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended);
        assert_eq!(
            hopeless(&[crashed]).as_deref(),
            Some("CrashLoopBackOff: it ended with the exit code 2: cannot serve HTTP")
        );
    }
}
