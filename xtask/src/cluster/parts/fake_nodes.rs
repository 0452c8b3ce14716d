//! Nodes that only kwok plays: pods on them start no process, so that there can be thousands.

use std::path::Path;

use serde_json::{Value, json};

use super::Parts;
use crate::steps;

/// The annotation of the nodes that kwok plays, and the taint that keeps other pods away.
const MARK: &str = "kwok.x-k8s.io/node";

/// What kwok makes of nodes and pods; it has nothing of its own.
const STAGES: &str = include_str!("../../../cluster/templates/fake-stages.yaml");

/// Starts kwok, and adds nodes for it.
pub(in crate::cluster) fn add_fake_nodes(parts: &Parts, kwok: &Path, count: u16) -> Result<(), String> {
    let stages = parts.folder.write("fake-stages.yaml", STAGES)?;
    parts.spawn(
        "kwok",
        kwok,
        [
            format!("--kubeconfig={}", parts.kubeconfig().display()),
            format!("--config={}", stages.display()),
            format!("--manage-nodes-with-annotation-selector={MARK}=fake"),
            // It is renewed four times in this time, and a node without a renewal for 9 s counts as lost.
            "--node-lease-duration-seconds=8".to_owned(),
        ],
    )?;
    let nodes: Vec<_> = (1..=count).map(node).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": nodes});
    let file = parts.folder.write("fake-nodes.json", &list.to_string())?;
    steps::run(parts.kubectl().args(["create", "-f"]).arg(file).stdout(std::process::Stdio::null()))?;
    let ready = r#"-o=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    parts.until("kwok", || {
        parts.asks(&["get", "nodes", "--selector=type=kwok", ready], |said| {
            said.split(' ').filter(|status| *status == "True").count() == usize::from(count)
        })
    })
}

/// What Kubernetes calls the processor of this machine.
fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn node(number: u16) -> Value {
    let name = format!("fake{number}");
    let resources = json!({"cpu": "256", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "250"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "type": "kwok",
                "kubernetes.io/arch": arch(),
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
            },
            "annotations": {MARK: "fake"},
        },
        "spec": {"taints": [{"key": MARK, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": resources, "capacity": resources},
    })
}
