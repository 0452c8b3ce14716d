//! [`Node`]: a containerd and a kubelet.

use std::{path::PathBuf, process::Command};

use rustix::process::Signal;

use super::{Parts, filled};
use crate::cluster::{
    build::{IMAGE, containerd_plugins},
    network::{self, REGISTRY},
    system::Cgroups,
};

const CONTAINERD: &str = include_str!("../../../cluster/templates/containerd.toml.in");
const KUBELET: &str = include_str!("../../../cluster/templates/kubelet.yaml.in");
const NETWORK: &str = include_str!("../../../cluster/templates/network.conflist.in");

/// Prints of each node its name, whether it is ready, and its taints.
const NODES: &str = r#"-o=jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.spec.taints}{"\n"}{end}"#;

/// A node of a cluster, counted from 1.
#[derive(Debug, Clone, Copy)]
pub(in crate::cluster) struct Node<'a> {
    parts: &'a Parts,
    number: u8,
}

impl<'a> Node<'a> {
    pub(in crate::cluster) fn new(parts: &'a Parts, number: u8) -> Self {
        Self { parts, number }
    }

    /// The name of the part that is the kubelet.
    pub(in crate::cluster) fn kubelet(self) -> String {
        format!("kubelet-{}", self.number)
    }

    fn containerd(self) -> String {
        format!("containerd-{}", self.number)
    }

    fn file(self, name: &str) -> PathBuf {
        self.parts.folder.join(format!("node{}", self.number)).join(name)
    }

    /// Makes its control groups, writes its configuration and starts its containerd.
    pub(in crate::cluster) fn start_containerd(self, cgroups: &Cgroups) -> Result<(), String> {
        let (folder, number) = (&self.parts.folder, self.number);
        let group = format!("{}node{number}", folder.name());
        cgroups.make(&group)?;
        let node = self.file("");
        let node = node.to_string_lossy();
        let values = [
            ("NODE", node.trim_end_matches('/')),
            ("NUMBER", &number.to_string()),
            ("ADDRESS", &network::node(number).to_string()),
            ("CGROUP", &group),
            ("PAUSE", IMAGE),
            ("PLUGINS", containerd_plugins()),
        ];
        folder.write(self.file("containerd.toml"), &filled(CONTAINERD, &values))?;
        folder.write(self.file("kubelet.yaml"), &filled(KUBELET, &values))?;
        folder.write(self.file("cni/10-bridge.conflist"), &filled(NETWORK, &values))?;
        // A registry without TLS has to be named.
        let hosts = format!(
            "server = \"http://{REGISTRY}\"\n[host.\"http://{REGISTRY}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
        );
        folder.write(self.file(&format!("registries/{REGISTRY}/hosts.toml")), &hosts)?;
        self.spawn_containerd()
    }

    fn spawn_containerd(self) -> Result<(), String> {
        let config = self.file("containerd.toml");
        let arguments = ["--config".as_ref(), config.as_os_str()];
        self.parts.spawn(&self.containerd(), "containerd".as_ref(), arguments).map(drop)
    }

    /// Waits for its containerd, gives it the image that pods begin with, and starts its kubelet.
    pub(in crate::cluster) fn start_kubelet(self) -> Result<(), String> {
        self.wait_for_containerd()?;
        let image = self.parts.folder.join("pause.tar");
        self.parts.sandbox.run(
            "ctr",
            [
                "--address".as_ref(),
                self.file("containerd.sock").as_os_str(),
                "--namespace=k8s.io".as_ref(),
                "images".as_ref(),
                "import".as_ref(),
                image.as_os_str(),
            ],
        )?;
        let file = |name: &str| self.file(name).to_string_lossy().into_owned();
        self.parts.spawn(
            &self.kubelet(),
            &self.parts.program("kubelet"),
            [
                format!("--config={}", file("kubelet.yaml")),
                format!("--kubeconfig={}", file("kubeconfig")),
                format!("--root-dir={}", file("kubelet")),
                format!("--cert-dir={}", file("certificates")),
                format!("--hostname-override=node{}", self.number),
                format!("--node-ip={}", network::node(self.number)),
                "--v=2".to_owned(),
            ],
        )?;
        Ok(())
    }

    /// Ends containerd, which leaves its containers running, and starts it again.
    pub(in crate::cluster) fn restart_containerd(self) -> Result<(), String> {
        self.parts.process(&self.containerd())?.end(Signal::TERM)?;
        self.spawn_containerd()?;
        self.wait_for_containerd()
    }

    fn wait_for_containerd(self) -> Result<(), String> {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.file("containerd.sock")).arg("version");
        self.parts.until(&self.containerd(), || ctr.output().is_ok_and(|output| output.status.success()))
    }
}

/// Waits until all nodes take pods.
pub(in crate::cluster) fn wait_for_nodes(parts: &Parts, nodes: usize) -> Result<(), String> {
    // The last one is started last.
    parts.until(&format!("kubelet-{nodes}"), || {
        parts.asks(&["get", "nodes", NODES], |said| {
            said.lines().filter(|line| takes_pods(line)).count() >= nodes
        })
    })?;
    parts.until("kube-controller-manager", || {
        parts.asks(&["--namespace=default", "get", "serviceaccount", "default"], |_| true)
    })
}

fn takes_pods(line: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    words.next() == Some("True") && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_with_a_taint_takes_no_pods() {
        assert!(takes_pods("node1 True "));
        assert!(!takes_pods(r#"node1 True [{"effect":"NoSchedule"}]"#));
        assert!(!takes_pods("node1 False "));
        assert!(!takes_pods("node1  "));
    }

    #[test]
    fn templates_have_no_word_without_a_value() {
        let words = ["NODE", "NUMBER", "ADDRESS", "CGROUP", "PAUSE", "PLUGINS"].map(|word| (word, "x"));
        for template in [CONTAINERD, KUBELET, NETWORK] {
            assert!(!filled(template, &words).contains('@'), "{template}");
        }
    }
}
