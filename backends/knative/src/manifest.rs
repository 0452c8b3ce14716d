//! What is created in the cluster: the Service of an image with its settings.

use lithops_core::{
    artifact::StoredProgram,
    digest::Digest,
    process::{HTTP, TRANSPORT_VARIABLE},
};
use serde_json::{Value, json};

use crate::{
    config::{KnativeConfig, PodConfig},
    kinds::GROUP,
    secret::FILE,
};

/// The label that tells which objects are of lithops, with its version.
pub(crate) const RUNTIME: &str = "lithops/runtime";
/// The label that tells whose objects these are.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The annotation with the memory of a worker, in MiB.
pub(crate) const MEMORY: &str = "lithops/memory";
/// The name of the container of a worker.
pub(crate) const CONTAINER: &str = "lithops";
/// The user that workers run as: images have no other.
const USER: u32 = 65532;
/// Where the Secret is mounted.
const SECRETS: &str = "/run/lithops";
/// The port of the worker. Its name says that it speaks HTTP/2 without TLS.
const PORT: (&str, u16) = ("h2c", 8080);
/// The time that a worker keeps of the platform's, to hand back what it holds.
const HAND_BACK: u64 = 5;

/// What a Service is made of.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) config: &'a KnativeConfig,
    pub(crate) image: &'a WorkerImage,
    pub(crate) cpus: f64,
    /// In MiB.
    pub(crate) memory: u64,
    pub(crate) max_workers: usize,
    /// The name of the Secret that opens the storage, where the pods' identity does not.
    pub(crate) secret: Option<String>,
}

/// The image of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerImage {
    /// Its name, with the registry.
    pub(crate) name: String,
    /// The program in it; `None` for a `lithops-worker`, which fetches programs.
    pub(crate) program: Option<StoredProgram>,
    /// The arguments that the worker is started with.
    pub(crate) arguments: Vec<String>,
}

impl Wanted<'_> {
    /// The name of the Service. What differs in anything has another name, so that no Service is ever changed.
    pub(crate) fn name(&self) -> String {
        let digest = Digest::of(self.template().to_string().as_bytes()).to_string();
        format!("lithops-{}", &digest[..20])
    }

    /// The manifest of the Service.
    pub(crate) fn service(&self) -> Value {
        json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "Service",
            "metadata": {
                "name": self.name(),
                "labels": {RUNTIME: env!("CARGO_PKG_VERSION"), MANAGED_BY: "lithops"},
                "annotations": {MEMORY: self.memory.to_string()},
            },
            "spec": {"template": self.template()},
        })
    }

    fn template(&self) -> Value {
        let PodConfig { min_workers, service_account, annotations, pull_secrets, .. } = &self.config.pod;
        let scale = |name: &str| format!("autoscaling.knative.dev/{name}");
        let mut all = json!({
            scale("min-scale"): min_workers.to_string(),
            scale("max-scale"): self.max_workers.max(*min_workers).to_string(),
            // A pod for each request, and none for those that may come.
            scale("target"): "1",
            scale("target-utilization-percentage"): "100",
        });
        for (name, value) in annotations {
            all[name] = value.as_str().into();
        }
        let mut volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
        if let Some(secret) = &self.secret {
            volumes.push(json!({"name": "secrets", "secret": {"secretName": secret}}));
        }
        let mut spec = json!({
            "containerConcurrency": 1,
            "timeoutSeconds": self.config.timeout.as_secs(),
            "automountServiceAccountToken": service_account.is_some(),
            "containers": [self.container()],
            "volumes": volumes,
        });
        if let Some(account) = service_account {
            spec["serviceAccountName"] = account.as_str().into();
        }
        if !pull_secrets.is_empty() {
            spec["imagePullSecrets"] = pull_secrets.iter().map(|name| json!({"name": name})).collect();
        }
        json!({
            "metadata": {
                "labels": {RUNTIME: env!("CARGO_PKG_VERSION"), MANAGED_BY: "lithops"},
                "annotations": all,
            },
            "spec": spec,
        })
    }

    fn container(&self) -> Value {
        let resources = json!({
            "cpu": format!("{}m", (self.cpus * 1000.0).round()),
            "memory": format!("{}Mi", self.memory),
        });
        let grace = self.config.timeout.as_secs().saturating_sub(HAND_BACK);
        let mut variables = vec![
            json!({"name": TRANSPORT_VARIABLE, "value": HTTP}),
            json!({"name": "LITHOPS_GRACE", "value": grace.to_string()}),
        ];
        let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
        if self.secret.is_some() {
            variables.push(json!({"name": "LITHOPS_SECRETS_FILE", "value": format!("{SECRETS}/{FILE}")}));
            mounts.push(json!({"name": "secrets", "mountPath": SECRETS, "readOnly": true}));
        }
        if let Some(program) = &self.image.program {
            variables.push(json!({"name": "LITHOPS_PROGRAM", "value": program.digest.to_string()}));
        }
        let own = self.config.pod.env_vars.iter();
        variables.extend(own.map(|(name, value)| json!({"name": name, "value": value})));
        let mut container = json!({
            "name": CONTAINER,
            "image": self.image.name,
            "ports": [{"name": PORT.0, "containerPort": PORT.1}],
            "env": variables,
            // Where a worker could write no words, the end of its log explains it.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": {"requests": resources, "limits": resources},
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumeMounts": mounts,
        });
        if !self.image.arguments.is_empty() {
            container["args"] = json!(self.image.arguments);
        }
        container
    }
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    fn config(section: &str) -> KnativeConfig {
        let sources = Sources { yaml: Some(format!("knative:\n{section}")), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("it is right");
        KnativeConfig::read(&config).expect("it is right")
    }

    fn image() -> WorkerImage {
        WorkerImage {
            name: "registry.example.com/lithops-runtime:1@sha256:2".to_owned(),
            program: Some(StoredProgram::new(Digest::of(b"program"), 7)),
            arguments: vec!["--exact".to_owned()],
        }
    }

    fn wanted<'a>(config: &'a KnativeConfig, image: &'a WorkerImage) -> Wanted<'a> {
        Wanted { config, image, cpus: 0.5, memory: 256, max_workers: 7, secret: Some("it".to_owned()) }
    }

    #[test]
    fn a_service_is_what_it_was() {
        let config = config(
            "  runtime_timeout: 60\n  service_account: it\n  image_pull_secrets: [pull]\n  env_vars: {NAME: value}\n  \
             annotations: {autoscaling.knative.dev/window: 6s}\n",
        );
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/service.golden.json");
        let made = wanted(&config, &image()).service();
        if std::env::var_os("WRITE_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&made).expect("text");
            std::fs::write(file, text + "\n").expect("written");
        }
        let golden = std::fs::read_to_string(file).expect("a file");
        assert_eq!(made, serde_json::from_str::<Value>(&golden).expect("the file is JSON"));
    }

    #[test]
    fn what_differs_has_another_name_and_what_does_not_has_the_same() {
        let (one, image) = (config("  runtime_timeout: 60\n"), image());
        let base = wanted(&one, &image);
        assert_eq!(base.name(), base.clone().name());
        assert_eq!(base.name().len(), 28);
        let other = config("  runtime_timeout: 61\n");
        let another = WorkerImage { name: "registry.example.com/other".to_owned(), ..image.clone() };
        for different in [
            Wanted { config: &other, ..base.clone() },
            Wanted { image: &another, ..base.clone() },
            Wanted { cpus: 1.0, ..base.clone() },
            Wanted { memory: 257, ..base.clone() },
            Wanted { max_workers: 8, ..base.clone() },
            Wanted { secret: None, ..base.clone() },
        ] {
            assert_ne!(different.name(), base.name(), "{different:?}");
        }
    }
}
