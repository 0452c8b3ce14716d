//! What Knative has in the cluster: its resources, settings and webhooks, from the modules that its programs are built from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    cluster::{
        network::{ACTIVATOR_HTTP1, ACTIVATOR_HTTP2, REGISTRY, SERVER},
        parts::Parts,
    },
    steps,
};

/// The namespace of Knative's own things.
pub(super) const NAMESPACE: &str = "knative-serving";
/// The image of what stands in each pod before the program, in the registry of the cluster.
pub(super) const QUEUE: &str = "knative/queue:1";
/// What the autoscaler is asked at, and the webhook.
pub(super) const AUTOSCALER: u16 = 8_080;
const WEBHOOK: u16 = 8_443;

/// Makes the kinds of Knative and its settings.
pub(super) fn apply_settings(parts: &Parts, files: &Path) -> Result<(), String> {
    let namespace = [files.join("serving/config/core/100-namespace.yaml")];
    apply(parts, &namespace)?;
    let mut kinds = yaml_of(&files.join("serving/config/core/300-resources"))?;
    for name in ["certificate", "domain-claim", "ingress", "serverlessservice"] {
        kinds.push(files.join(format!("networking/config/{name}.yaml")));
    }
    kinds.push(files.join("caching/config/image.yaml"));
    apply(parts, &kinds)?;
    let mut settings = yaml_of(&files.join("serving/config/core/configmaps"))?;
    settings.push(files.join("networking/config/config-network.yaml"));
    settings.push(files.join("serving/config/core/webhooks/secret.yaml"));
    settings.push(parts.folder.write("knative-services.json", &services().to_string())?);
    apply(parts, &settings)?;
    let image = format!("{REGISTRY}/{QUEUE}");
    for (name, data) in [
        (
            "config-deployment",
            json!({
                "queue-sidecar-image": image,
                "queue-sidecar-cpu-request": "10m",
                "queue-sidecar-memory-request": "50Mi",
                "registries-skipping-tag-resolving": REGISTRY,
            }),
        ),
        // A class that no program serves: there is no ingress.
        ("config-network", json!({"ingress-class": "none.ingress.networking.knative.dev"})),
        (
            "config-autoscaler",
            json!({"allow-zero-initial-scale": "true", "scale-to-zero-grace-period": "6s"}),
        ),
    ] {
        let patch = json!({"data": data}).to_string();
        let mut kubectl = parts.kubectl();
        kubectl.args(["-n", NAMESPACE, "patch", "configmap", name, "--type=merge", "--patch", &patch]);
        quietly(kubectl)?;
    }
    Ok(())
}

/// Makes the webhooks. They are called from then on, so that the program that serves them must run.
pub(super) fn apply_webhooks(parts: &Parts, files: &Path) -> Result<(), String> {
    let of = |name: &str| files.join(format!("serving/config/core/webhooks/{name}.yaml"));
    apply(parts, &["configmap-validation", "defaulting", "resource-validation"].map(of))
}

fn apply(parts: &Parts, files: &[PathBuf]) -> Result<(), String> {
    let mut kubectl = parts.kubectl();
    kubectl.args(["apply", "--server-side", "--force-conflicts"]);
    for file in files {
        kubectl.arg("-f").arg(file);
    }
    quietly(kubectl)
}

fn quietly(mut command: std::process::Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot start `nsenter`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` failed: {}", steps::line(&command), said.trim()))
}

fn yaml_of(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(cannot)?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(cannot)?.path());
    }
    files.sort_unstable();
    Ok(files)
}

/// Services whose pods are processes of this machine.
fn services() -> Value {
    let both = |name: &str, ports: &[(&str, u16, u16)]| {
        let of_service: Vec<_> = ports
            .iter()
            .map(|(name, port, to)| json!({"name": name, "port": port, "targetPort": to}))
            .collect();
        let of_endpoints: Vec<_> =
            ports.iter().map(|(name, _, to)| json!({"name": name, "port": to})).collect();
        let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": {"app": name}});
        [
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": of_service}}),
            json!({
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": metadata,
                "subsets": [{"addresses": [{"ip": SERVER}], "ports": of_endpoints}],
            }),
        ]
    };
    let items = [
        both("activator-service", &[("http", 80, ACTIVATOR_HTTP1), ("http2", 81, ACTIVATOR_HTTP2)]),
        both("autoscaler", &[("http", AUTOSCALER, AUTOSCALER)]),
        both("webhook", &[("https-webhook", 443, WEBHOOK)]),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items.concat()})
}
