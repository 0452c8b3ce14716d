//! The section `k8s`: its keys, and what they mean.

use std::{collections::BTreeMap, time::Duration};

use lithops_core::{
    board::LeaseConfig,
    compute::{CancelLevel, Capabilities, Platform, Reports, WorkerWish},
    config::{Config, Key, Section, Value},
    error::Result,
};
use lithops_kubernetes::{
    Access, Images,
    values::{env_vars, maps, names},
};

use crate::SCHEME;

/// What is known of clusters, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

/// How long a Job is kept after its end, so that people can look at it.
const TTL: Duration = Duration::from_secs(300);
/// The most workers that are fed: the API server carries every byte of theirs.
const FED: usize = 200;
/// The shortest life of a wave.
const SHORTEST: Duration = Duration::from_secs(60);

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used(
        "kubecfg_path",
        "the kubeconfig file; else that of `KUBECONFIG`, `~/.kube/config`, or the pod that this program is in",
    ),
    Key::used("kubecfg_context", "the context of the kubeconfig; else its current one"),
    Key::used("namespace", "where the pods are; else the namespace of the context, or `default`"),
    Key::used(
        "runtime",
        "an image that holds `lithops-worker` as its entrypoint; else one is made of the program, and pushed",
    ),
    Key::used("runtime_arch", "amd64 or arm64: the processor of the nodes; by default that of this machine")
        .harmless(),
    Key::used("base_image", "the image that the program's image is built upon; else its libraries are added"),
    Key::used(
        "docker_server",
        "the registry that the program's image is pushed to, with a path if it wants one; by default docker.io",
    ),
    Key::used(
        "docker_user",
        "the user of that registry; on docker.io also the first part of the image's name",
    ),
    Key::used(
        "docker_password",
        "the password or token of that user; nodes pull with it too, by a Secret of the Job, unless `image_pull_secrets` are named",
    ),
    Key::used("image_pull_secrets", "names of Secrets that nodes pull the image with: [name]"),
    Key::used("image_pull_policy", "`Always`, `IfNotPresent` or `Never`; by default `IfNotPresent`"),
    Key::used("runtime_cpu", "the CPUs of a worker, request and limit; by default 1").harmless(),
    Key::used("runtime_memory", "the memory of a worker in MiB, request and limit; by default 2048")
        .harmless(),
    Key::used("ephemeral_storage", "the disk of a worker in MiB, request and limit; by default 1024")
        .harmless(),
    Key::used("gpu", "what each worker has of GPUs: {resource: nvidia.com/gpu, count: 1}"),
    Key::used("runtime_timeout", "how long a wave of workers may live; by default 12 h. It limits no call")
        .harmless(),
    Key::used("service_account", "the service account of the pods; its token is mounted only if this is set"),
    Key::used("node_selector", "labels that a node must have: {name: value}"),
    Key::used("tolerations", "taints that the pods bear: [{key: .., operator: .., value: .., effect: ..}]"),
    Key::used("priority_class", "the PriorityClass of the pods"),
    Key::used("queue", "the LocalQueue of Kueue that admits the Jobs"),
    Key::used("labels", "more labels of Jobs and pods"),
    Key::used("annotations", "more annotations of pods"),
    Key::used("env_vars", "environment variables of the workers; values may be seen by who may see the pods"),
    Key::used(
        "pod_template",
        "laid over the specification of the pods at last (RFC 7386); the container is `lithops`",
    ),
    Key::used(
        "dispatch",
        "`pull`: workers fetch their work from the storage; `fed`: the client connects to each pod and feeds it; `auto`: fed \
         up to 200 workers, and durable jobs are pulled; by default `pull`",
    )
    .harmless(),
    Key::used("platform", "who bills the pods, for plans by cost: `eks_fargate` or `gke_autopilot`; else they cost nothing")
        .harmless(),
    Key::used("ttl", "how long a Job is kept after its end; by default 300 s").harmless(),
    Key::used("lease", "how long a silent worker keeps its chunk; by default 30 s").harmless(),
    Key::used("patience", "how long a worker without a job stays; by default 300 s").harmless(),
    Key::used("orphan", "how long the client may be silent until its workers end; by default 600 s"),
    Key::used("artifact", "the path of the program that has the functions, when it is not the one that runs"),
    Key::accepted("master_timeout", "there is no master", "how long the master pod waits").harmless(),
    Key::accepted(
        "rabbitmq_executor",
        "workers share their work over the storage",
        "whether RabbitMQ is used",
    )
    .harmless(),
    Key::accepted("cluster", "the kubeconfig says it", "the name of the cluster").harmless(),
    Key::accepted("user", "the kubeconfig says it", "the name of the user").harmless(),
    Key::accepted("master_name", "there is no master", "the name of the master pod").harmless(),
];

/// The values of the section.
#[derive(Debug, Clone)]
pub(crate) struct K8sConfig {
    pub(crate) access: Access,
    pub(crate) images: Images,
    pub(crate) pod: PodConfig,
    /// How long a wave may live.
    pub(crate) deadline: Duration,
    /// How long a Job is kept after its end.
    pub(crate) ttl: Duration,
    /// The LocalQueue of Kueue.
    pub(crate) queue: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) capabilities: Capabilities,
    /// The times of workers.
    pub(crate) lease: LeaseConfig,
    workers: Workers,
}

/// What the capabilities of workers with another memory are made of.
#[derive(Debug, Clone)]
struct Workers {
    platform: Platform,
    wish: WorkerWish,
    dispatch: Dispatch,
}

/// What the pods of the workers have.
#[derive(Debug, Clone)]
pub(crate) struct PodConfig {
    pub(crate) cpus: f64,
    /// In MiB.
    pub(crate) memory: u64,
    /// In MiB.
    pub(crate) disk: u64,
    pub(crate) gpu: Option<(String, usize)>,
    pub(crate) service_account: Option<String>,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) tolerations: Vec<serde_json::Value>,
    pub(crate) priority_class: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) env_vars: BTreeMap<String, String>,
    pub(crate) pull_secrets: Vec<String>,
    pub(crate) pull_policy: &'static str,
    /// Laid over the specification of the pod.
    pub(crate) template: Option<serde_json::Value>,
}

impl K8sConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        let section = config.section(SCHEME);
        let text = |key: &str| -> Result<Option<String>> { Ok(section.string(key)?.map(str::to_owned)) };
        let platform = Platform::parse(PLATFORM, "the data of `k8s`")?.overridden_by(section)?;
        let variant = section.one_of("platform", &["eks_fargate", "gke_autopilot"])?.map(str::to_owned);
        let wish = WorkerWish { variant, ..WorkerWish::read(section)? };
        let mut capabilities = platform.worker(&wish)?;
        // The time limits a wave of pods, and no call.
        let deadline = capabilities.timeout_limit.take().unwrap_or(Duration::from_secs(12 * 3600));
        let (lease, dispatch) = (lease(section)?, Dispatch::read(section)?);
        dispatch.apply(&mut capabilities, lease);
        let workers = Workers { platform, wish, dispatch };
        Ok(Self {
            access: Access::read(SCHEME, section)?,
            images: Images::read(SCHEME, section)?,
            pod: PodConfig::read(section, &capabilities)?,
            deadline: long_enough(section, deadline)?,
            ttl: section.duration("ttl")?.unwrap_or(TTL),
            queue: text("queue")?,
            labels: labels(section)?,
            lease,
            workers,
            capabilities,
        })
    }

    /// The capabilities of workers with another memory, in MB.
    pub(crate) fn capabilities_of(&self, memory: u64) -> Result<Capabilities> {
        let wish = WorkerWish { memory: Some(memory), ..self.workers.wish.clone() };
        let mut sized = self.workers.platform.worker(&wish)?;
        sized.timeout_limit = None;
        self.workers.dispatch.apply(&mut sized, self.lease);
        Ok(sized)
    }

    /// The same for workers with this memory, in MB.
    pub(crate) fn with_memory(&self, memory: u64) -> Self {
        Self { pod: PodConfig { memory, ..self.pod.clone() }, ..self.clone() }
    }
}

impl PodConfig {
    fn read(section: Section<'_>, capabilities: &Capabilities) -> Result<Self> {
        Ok(Self {
            cpus: capabilities.worker_cpus,
            memory: capabilities.worker_memory,
            disk: section.positive("ephemeral_storage")?.map_or(1024, |disk| disk as u64),
            gpu: gpu(section)?,
            service_account: section.string("service_account")?.map(str::to_owned),
            node_selector: section.texts("node_selector")?,
            tolerations: maps(section, "tolerations", "[{key: dedicated, operator: Exists}]")?,
            priority_class: section.string("priority_class")?.map(str::to_owned),
            annotations: section.texts("annotations")?,
            env_vars: env_vars(section)?,
            pull_secrets: names(section, "image_pull_secrets")?,
            pull_policy: section
                .one_of("image_pull_policy", &["Always", "IfNotPresent", "Never"])?
                .unwrap_or("IfNotPresent"),
            template: template(section)?,
        })
    }
}

/// How calls come to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dispatch {
    Pull,
    Fed,
    /// The workers of durable jobs pull, others are fed.
    Auto,
}

impl Dispatch {
    fn read(section: Section<'_>) -> Result<Self> {
        let workers = section.positive("max_workers")?;
        Ok(match section.one_of("dispatch", &["pull", "fed", "auto"])? {
            Some("fed") if workers.is_some_and(|workers| workers > FED) => {
                let problem = format!("is `fed`, and `max_workers` is above {FED}");
                let hint = "every connection goes through the API server: write `dispatch: auto` or `pull`";
                return Err(section.unusable("dispatch", &problem, hint));
            }
            Some("fed") => Self::Fed,
            Some("auto") if workers.is_none_or(|workers| workers <= FED) => Self::Auto,
            _ => Self::Pull,
        })
    }

    fn apply(self, capabilities: &mut Capabilities, lease: LeaseConfig) {
        if self != Self::Fed {
            capabilities.pull = Some(lease);
        }
        if self != Self::Pull {
            capabilities.feed = true;
            capabilities.reports = Reports::Streamed;
            capabilities.cancel = CancelLevel::Call;
            capabilities.max_workers = capabilities.max_workers.min(FED);
            // A worker that is connected is handed its calls at once.
            capabilities.startup.warm = Duration::from_millis(10);
        }
    }
}

/// The times of a worker's lease.
fn lease(section: Section<'_>) -> Result<LeaseConfig> {
    let mut lease = section.duration("lease")?.map_or_else(LeaseConfig::default, LeaseConfig::with_lease);
    if let Some(patience) = section.duration("patience")? {
        // One that leaves sooner would not see the end of another's lease.
        lease.patience = patience.max(2 * lease.lease);
    }
    if let Some(orphan) = section.duration("orphan")? {
        lease.orphan = orphan;
    }
    Ok(lease)
}

/// Workers that end before they have started would be started for ever.
fn long_enough(section: Section<'_>, deadline: Duration) -> Result<Duration> {
    if deadline >= SHORTEST {
        return Ok(deadline);
    }
    let problem = format!("is {deadline:?}, and limits how long workers live, not calls");
    Err(section.unusable("runtime_timeout", &problem, "write at least 60, or leave the key out"))
}

fn labels(section: Section<'_>) -> Result<BTreeMap<String, String>> {
    let labels = section.texts("labels")?;
    let is_ours =
        |name: &&String| name.starts_with("lithops/") || name.starts_with("app.kubernetes.io/managed-by");
    match labels.keys().find(is_ours) {
        Some(name) => Err(section.unusable(
            "labels",
            &format!("sets `{name}`"),
            "lithops knows its workers by this label",
        )),
        None => Ok(labels),
    }
}

fn gpu(section: Section<'_>) -> Result<Option<(String, usize)>> {
    let Some(located) = section.get("gpu") else { return Ok(None) };
    let read = match &located.value {
        Value::Map(map) => {
            let resource = map.get("resource").and_then(Value::as_str).filter(|name| name.contains('/'));
            let count = match map.get("count") {
                None => Some(1),
                Some(Value::Int(count)) => usize::try_from(*count).ok().filter(|count| *count > 0),
                Some(_) => None,
            };
            resource.map(str::to_owned).zip(count)
        }
        _ => None,
    };
    let hint = "write `gpu: {resource: nvidia.com/gpu, count: 1}`";
    read.map(Some).ok_or_else(|| section.unusable("gpu", "does not say which resource and how many", hint))
}

fn template(section: Section<'_>) -> Result<Option<serde_json::Value>> {
    let Some(located) = section.get("pod_template") else { return Ok(None) };
    let json = match &located.value {
        map @ Value::Map(_) => serde_json::to_value(map).ok(),
        _ => None,
    };
    let hint =
        "write what is to be other in the specification of the pods: `pod_template: {hostNetwork: true}`";
    json.map(Some).ok_or_else(|| section.unusable("pod_template", "is no mapping", hint))
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Environment, Sources};

    use super::*;

    fn read(section: &str) -> Result<K8sConfig> {
        let yaml = Some(format!("k8s:\n{section}"));
        K8sConfig::read(&Config::load(&Sources { yaml, file: None }, &Environment::new("."))?)
    }

    #[test]
    fn a_worker_has_as_many_sub_workers_as_cpus() {
        for (cpus, processes) in [("1", 1), ("4", 4), ("0.5", 1), ("2.5", 2)] {
            let config = read(&format!("  runtime_cpu: {cpus}\n")).expect("it is right");
            assert_eq!(config.capabilities.default_worker_processes, processes, "{cpus}");
        }
        let config = read("  namespace: batch\n").expect("it is right");
        assert_eq!((config.pod.memory, config.pod.cpus, config.pod.disk), (2048, 1.0, 1024));
        assert_eq!(config.deadline, Duration::from_secs(12 * 3600));
        assert_eq!(config.capabilities.timeout_limit, None);
        assert_eq!(config.capabilities.pull.map(|lease| lease.lease), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_platform_that_bills_pods_has_its_prices() {
        // An hour of a worker with 1 vCPU and 2 GiB.
        for (platform, usd) in
            [("eks_fargate", 0.04048 + 2.0 * 0.004445), ("gke_autopilot", 0.0445 + 2.0 * 0.0049225)]
        {
            let price = read(&format!("  platform: {platform}\n")).expect("it is right").capabilities.price;
            assert!((price.second_usd(2048, 1.0) * 3600.0 - usd).abs() < 1e-6, "{platform}: {price:?}");
        }
        assert!(read("  namespace: batch\n").expect("it is right").capabilities.price.is_free());
    }

    #[test]
    fn a_job_may_be_fed_and_one_of_many_workers_is_not() {
        let capabilities = |section: &str| read(section).expect("it is right").capabilities;
        let shape = |section: &str| {
            let capabilities = capabilities(section);
            (capabilities.feed, capabilities.pull.is_some(), capabilities.reports)
        };
        assert_eq!(shape("  dispatch: pull\n"), (false, true, Reports::Buffered));
        assert_eq!(shape("  dispatch: fed\n"), (true, false, Reports::Streamed));
        assert_eq!(shape("  dispatch: auto\n"), (true, true, Reports::Streamed));
        assert_eq!(shape("  dispatch: auto\n  max_workers: 201\n"), (false, true, Reports::Buffered));
        let durable = capabilities("  dispatch: auto\n").of_durable_jobs();
        assert_eq!(
            (durable.feed, durable.reports, durable.cancel),
            (false, Reports::Buffered, CancelLevel::Activation)
        );
        let sized =
            read("  dispatch: fed\n").expect("it is right").capabilities_of(4096).expect("it is sold");
        assert_eq!((sized.feed, sized.pull), (true, None));
    }

    #[test]
    fn a_job_may_ask_for_workers_with_another_memory() {
        let config = read("  runtime_cpu: 4\n").expect("it is right");
        let sized = config.capabilities_of(8192).expect("it is sold");
        assert_eq!((sized.worker_memory, sized.worker_cpus), (8192, config.pod.cpus));
        assert_eq!((sized.timeout_limit, sized.pull), (None, config.capabilities.pull));
        let pod = config.with_memory(8192).pod;
        assert_eq!((pod.memory, pod.cpus), (8192, 4.0));
        let error = config.capabilities_of(16).expect_err("it is not sold").to_string();
        assert!(error.contains("128 to 1048576"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (section, wanted) in [
            ("  runtime_cpu: 0\n", "`runtime_cpu`"),
            ("  runtime_memory: 1\n", "128 to 1048576"),
            ("  runtime_arch: riscv\n", "`amd64`, `arm64`"),
            ("  namespace: Batch Jobs\n", "small letters"),
            ("  runtime: 'a b'\n", "names no image"),
            ("  gpu: 1\n", "nvidia.com/gpu"),
            ("  gpu: {resource: nvidia.com/gpu, count: 0}\n", "how many"),
            ("  env_vars: {LITHOPS_LAUNCH: x}\n", "`LITHOPS_LAUNCH`"),
            ("  tolerations: {key: a}\n", "no list of mappings"),
            ("  image_pull_policy: sometimes\n", "`IfNotPresent`"),
            ("  image_pull_secrets: 3\n", "write `image_pull_secrets: [name]`"),
            ("  pod_template: [a]\n", "is no mapping"),
            ("  kubecfg_path: /no/such/file\n", "there is no such file"),
            ("  runtime_timeout: 721h\n", "at most"),
            ("  runtime_timeout: 59\n", "at least 60"),
            ("  labels: {lithops/fleet: x}\n", "`lithops/fleet`"),
            ("  dispatch: push\n", "`pull`, `fed`, `auto`"),
            ("  dispatch: fed\n  max_workers: 201\n", "`dispatch: auto`"),
        ] {
            let error = read(section).expect_err(section);
            assert!(
                error.to_string().contains(wanted) || error.hint().is_some_and(|hint| hint.contains(wanted)),
                "{section}: {error}"
            );
        }
    }
}
