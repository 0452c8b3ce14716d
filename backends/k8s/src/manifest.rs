//! What is created in the cluster: the Job of a wave of workers, and the Secret that opens the storage for it.

use std::time::Duration;

use lithops_core::{
    digest::Digest,
    error::Result,
    process::{CHECK, PROGRAM_VARIABLE, PULL, SERVE, TRANSPORT_VARIABLE},
    protocol::{Launch, ProgramId, Secrets},
};
use serde_json::{Value, json};

use crate::config::K8sConfig;

/// The label with the fleet that Jobs and pods belong to.
pub(crate) const FLEET: &str = "lithops/fleet";
/// The annotation of a Job that says who has asked for it.
pub(crate) const CLIENT: &str = "lithops/client";
/// The label that tells whose objects these are.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The name of the container of a worker.
pub(crate) const CONTAINER: &str = "lithops";
/// The user that workers run as: images have no other.
const USER: u32 = 65532;
/// Where the Secret is mounted.
const SECRETS: &str = "/run/lithops";
/// The file in it.
const SECRETS_FILE: &str = "storage.json";
/// How long a worker may take to hand back what it holds, beyond the time that its calls may run on.
const HAND_BACK: u64 = 5;
/// How often a pod that failed by itself is started again, each time later.
const RETRIES: u32 = 3;

/// A worker that cannot serve, and another could not either, ends with this code.
pub(crate) const EXIT_REFUSED: i32 = 88;
/// A worker that was told to leave, or where another machine may serve, ends with this code.
pub(crate) const EXIT_ELSEWHERE: i32 = 75;

/// A wave: workers of a fleet that are asked for together.
#[derive(Debug, Clone)]
pub(crate) struct Wave<'a> {
    pub(crate) config: &'a K8sConfig,
    pub(crate) launch: &'a Launch,
    /// The wave's number in its fleet.
    pub(crate) number: u64,
    pub(crate) workers: usize,
    pub(crate) image: &'a WorkerImage,
    /// What opens the storage, where the pods' identity does not.
    pub(crate) secrets: Option<&'a Secrets>,
    /// Who has asked for it, for people that look at the cluster.
    pub(crate) client: &'a str,
    pub(crate) transport: Transport<'a>,
}

/// How calls come to the workers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport<'a> {
    /// Workers fetch them from the storage.
    Pull,
    /// The client connects to each worker; the program is the one that an image without functions of its own executes.
    Serve(Option<&'a ProgramId>),
    /// There are none: workers only try whether they could serve.
    Check,
}

impl Transport<'_> {
    /// Its word for a worker.
    fn word(self) -> &'static str {
        match self {
            Self::Pull => PULL,
            Self::Serve(_) => SERVE,
            Self::Check => CHECK,
        }
    }
}

/// The image of the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerImage {
    /// Its name, with the registry.
    pub(crate) name: String,
    /// Whether it is the user's program, and not a `lithops-worker` that fetches the program.
    pub(crate) is_program: bool,
    /// The arguments of the program.
    pub(crate) arguments: Vec<String>,
}

/// The beginning of the names of what a fleet has in the cluster.
pub(crate) fn prefix(fleet: &str) -> String {
    // The whole name would be too long for some labels, and need not be one that Kubernetes takes.
    format!("lithops-{}-", &label(fleet)[..12])
}

/// A fleet's name as the value of a label.
pub(crate) fn label(fleet: &str) -> String {
    Digest::of(fleet.as_bytes()).to_string()[..40].to_owned()
}

impl Wave<'_> {
    /// The wave's name. It is the same for each try to create it.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", prefix(&self.launch.fleet), self.number)
    }

    /// The manifest of the Job.
    ///
    /// # Errors
    /// When the launch document cannot be encoded.
    pub(crate) fn job(&self) -> Result<Value> {
        let (config, name) = (self.config, self.name());
        let mut labels = json!({FLEET: label(&self.launch.fleet), MANAGED_BY: "lithops"});
        for (key, value) in &config.labels {
            labels[key] = value.as_str().into();
        }
        let mut job_labels = labels.clone();
        let mut job_annotations = json!({CLIENT: self.client});
        if let Some(queue) = &config.queue {
            job_labels["kueue.x-k8s.io/queue-name"] = queue.as_str().into();
            // A queue without room for all workers may admit some of them.
            job_annotations["kueue.x-k8s.io/job-min-parallelism"] = "1".into();
            job_annotations["kueue.x-k8s.io/job-completions-equal-parallelism"] = "true".into();
        }
        let mut annotations = json!({});
        for (key, value) in &config.pod.annotations {
            annotations[key] = value.as_str().into();
        }
        // An autoscaler that moves pods about would let them begin anew.
        if annotations.get("karpenter.sh/do-not-disrupt").is_none() {
            annotations["karpenter.sh/do-not-disrupt"] = "true".into();
        }
        Ok(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": job_labels, "annotations": job_annotations},
            "spec": {
                "completionMode": "Indexed",
                "completions": self.workers,
                "parallelism": self.workers,
                "suspend": config.queue.is_some() || self.has_secrets(),
                "backoffLimitPerIndex": RETRIES,
                "maxFailedIndexes": self.workers,
                "activeDeadlineSeconds": whole_seconds(config.deadline),
                "ttlSecondsAfterFinished": whole_seconds(config.ttl),
                "podReplacementPolicy": "Failed",
                "podFailurePolicy": {"rules": [
                    {"action": "FailJob", "onExitCodes": codes(EXIT_REFUSED)},
                    // What the platform ends is started again, and counts as no failure. An eviction for the disk sets no
                    // condition: there the exit code alone tells.
                    {"action": "Ignore", "onExitCodes": codes(EXIT_ELSEWHERE)},
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]},
                "template": {
                    "metadata": {"labels": labels, "annotations": annotations},
                    "spec": self.pod()?,
                },
            },
        }))
    }

    fn pod(&self) -> Result<Value> {
        let pod = &self.config.pod;
        let mut spec = json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": whole_seconds(self.launch.grace) + HAND_BACK,
            "automountServiceAccountToken": pod.service_account.is_some(),
            "enableServiceLinks": false,
            // The pod's own process ends what calls leave behind, and the worker is a process like any other.
            "shareProcessNamespace": true,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "nodeSelector": {"kubernetes.io/arch": self.config.images.arch()},
            // A node that is silent for long is not waited for: its pods are deleted, and start elsewhere.
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [self.container()?],
        });
        for (key, value) in &pod.node_selector {
            spec["nodeSelector"][key] = value.as_str().into();
        }
        if let Some(tolerations) = spec["tolerations"].as_array_mut() {
            tolerations.extend(pod.tolerations.iter().cloned());
        }
        if let Some(account) = &pod.service_account {
            spec["serviceAccountName"] = account.as_str().into();
        }
        if let Some(class) = &pod.priority_class {
            spec["priorityClassName"] = class.as_str().into();
        }
        let made = self.login().map(|_| self.pull_secret_name());
        let pull_secrets: Vec<_> = pod.pull_secrets.iter().chain(&made).collect();
        if !pull_secrets.is_empty() {
            spec["imagePullSecrets"] = pull_secrets.iter().map(|name| json!({"name": name})).collect();
        }
        if self.secrets.is_some()
            && let Some(volumes) = spec["volumes"].as_array_mut()
        {
            volumes.push(
                json!({"name": "secrets", "secret": {"secretName": self.name(), "defaultMode": 0o440}}),
            );
        }
        if let Some(template) = &pod.template {
            merge(&mut spec, template);
        }
        Ok(spec)
    }

    fn container(&self) -> Result<Value> {
        let pod = &self.config.pod;
        let mut resources = json!({
            "cpu": cpus(pod.cpus),
            "memory": format!("{}Mi", pod.memory),
            "ephemeral-storage": format!("{}Mi", pod.disk),
        });
        if let Some((resource, count)) = &pod.gpu {
            resources[resource] = count.to_string().into();
        }
        let mut variables = vec![
            json!({"name": Launch::VARIABLE, "value": self.launch.to_json()?}),
            json!({"name": Launch::WORKER_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
        ];
        let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
        if self.secrets.is_some() {
            let file = format!("{SECRETS}/{SECRETS_FILE}");
            variables.push(json!({"name": "LITHOPS_SECRETS_FILE", "value": file}));
            mounts.push(json!({"name": "secrets", "mountPath": SECRETS, "readOnly": true}));
        }
        let mut container = json!({
            "name": CONTAINER,
            "image": self.image.name,
            "imagePullPolicy": pod.pull_policy,
            // Where a worker could write no words, the end of its log explains it.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "resources": {"requests": resources, "limits": resources},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": mounts,
        });
        // Only what a platform has started to check stores what it finds.
        if self.image.is_program || matches!(self.transport, Transport::Check) {
            variables.push(json!({"name": TRANSPORT_VARIABLE, "value": self.transport.word()}));
        }
        if self.image.is_program {
            if !self.image.arguments.is_empty() {
                container["args"] = json!(self.image.arguments);
            }
        } else {
            container["args"] = json!([self.transport.word()]);
        }
        if let Transport::Serve(Some(program)) = self.transport {
            variables.push(json!({"name": PROGRAM_VARIABLE, "value": program.to_json()?}));
        }
        variables.extend(pod.env_vars.iter().map(|(name, value)| json!({"name": name, "value": value})));
        container["env"] = variables.into();
        Ok(container)
    }

    /// Whether the wave's Job needs Secrets.
    pub(crate) fn has_secrets(&self) -> bool {
        self.secrets.is_some() || self.login().is_some()
    }

    /// The manifests of the Secrets: what opens the storage, and what nodes pull the image with. They go when their Job goes.
    ///
    /// # Errors
    /// When the secrets cannot be encoded.
    pub(crate) fn secret_manifests(&self, job_uid: &str) -> Result<Vec<Value>> {
        let mut manifests = Vec::new();
        if let Some(secrets) = self.secrets {
            let data = json!({SECRETS_FILE: secrets.to_json()?});
            manifests.push(self.secret(&self.name(), "Opaque", &data, job_uid));
        }
        if let Some((server, user, password)) = self.login() {
            let login = json!({"auths": {server: {"username": user, "password": password}}});
            let data = json!({".dockerconfigjson": login.to_string()});
            let kind = "kubernetes.io/dockerconfigjson";
            manifests.push(self.secret(&self.pull_secret_name(), kind, &data, job_uid));
        }
        Ok(manifests)
    }

    fn secret(&self, name: &str, kind: &str, data: &Value, job_uid: &str) -> Value {
        let job = self.name();
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kind,
            "metadata": {
                "name": name,
                "labels": {FLEET: label(&self.launch.fleet), MANAGED_BY: "lithops"},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": job_uid}],
            },
            "stringData": data,
        })
    }

    /// The registry, user and password that nodes are to pull with: those that the image is pushed with, unless Secrets are
    /// named.
    fn login(&self) -> Option<(&str, &str, &str)> {
        let is_named = !self.config.pod.pull_secrets.is_empty();
        self.config.images.registry.login().filter(|_| !is_named)
    }

    fn pull_secret_name(&self) -> String {
        format!("{}-pull", self.name())
    }
}

fn codes(code: i32) -> Value {
    json!({"containerName": CONTAINER, "operator": "In", "values": [code]})
}

/// CPUs in thousandths, as Kubernetes writes them.
fn cpus(cpus: f64) -> String {
    format!("{}m", (cpus * 1000.0).round())
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Lays a JSON merge patch over a value (RFC 7386), but for lists of things with names, such as containers and variables: what
/// has the name of one of ours is laid over it, and other things are added.
fn merge(below: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *below = patch.clone();
        return;
    };
    if !below.is_object() {
        *below = json!({});
    }
    for (key, value) in patch {
        match (below.get_mut(key), value) {
            (_, Value::Null) => {
                below.as_object_mut().and_then(|map| map.remove(key));
            }
            (Some(Value::Array(ours)), Value::Array(theirs)) if key == "tolerations" => {
                ours.extend(theirs.iter().cloned());
            }
            (Some(Value::Array(ours)), Value::Array(theirs)) if NAMED.iter().any(|(list, _)| list == key) => {
                let name = NAMED.iter().find(|(list, _)| list == key).map_or("name", |(_, name)| name);
                for thing in theirs {
                    match ours.iter_mut().find(|own| own[name] == thing[name]) {
                        Some(own) => merge(own, thing),
                        None => ours.push(thing.clone()),
                    }
                }
            }
            (Some(own), value) => merge(own, value),
            (None, value) => below[key] = value.clone(),
        }
    }
}

/// The lists whose things have names, and what the name is called.
const NAMED: &[(&str, &str)] =
    &[("containers", "name"), ("env", "name"), ("volumes", "name"), ("volumeMounts", "mountPath")];

#[cfg(test)]
mod tests;
