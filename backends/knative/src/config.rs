//! The section `knative`: its keys, and what they mean.

use std::{collections::BTreeMap, time::Duration};

use hyper::Uri;
use lithops_core::{
    compute::{Capabilities, Platform, WorkerWish},
    config::{Config, Key, Section},
    error::Result,
};
use lithops_kubernetes::{
    Access, Images,
    values::{env_vars, names},
};

use crate::SCHEME;

/// What is known of Knative, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used(
        "kubecfg_path",
        "the kubeconfig file; else that of `KUBECONFIG`, `~/.kube/config`, or the pod that this program is in",
    ),
    Key::used("kubecfg_context", "the context of the kubeconfig; else its current one"),
    Key::used("namespace", "where the Services are; else the namespace of the context, or `default`"),
    Key::used(
        "ingress_endpoint",
        "the address of the ingress, as `http://10.0.0.1:31380`; else requests go to the URL of the Service",
    ),
    Key::used(
        "service_host_suffix",
        "what the host of a Service has behind its name, as `.default.example.com`; else the Service says it",
    ),
    Key::used(
        "activator_endpoint",
        "the address of Knative's activator, for a cluster without an ingress, or a client within the cluster",
    ),
    Key::used("http2", "whether requests without TLS are made over HTTP/2; by default true").harmless(),
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
    Key::used("docker_password", "the password or token of that user"),
    Key::used("image_pull_secrets", "names of Secrets that nodes pull the image with: [name]"),
    Key::used("runtime_cpu", "the CPUs of a worker, request and limit; by default 1").harmless(),
    Key::used("runtime_memory", "the memory of a worker in MiB, request and limit; by default 512")
        .harmless(),
    Key::used(
        "runtime_timeout",
        "how long an activation may run, and a request wait for a worker; by default 600 s",
    )
    .harmless(),
    Key::used("min_workers", "the workers that are kept while there are no requests; by default 0")
        .harmless(),
    Key::used("service_account", "the service account of the pods"),
    Key::used("annotations", "more annotations of the Revision, as `autoscaling.knative.dev/window`"),
    Key::used("env_vars", "environment variables of the workers; values may be seen by who may see the pods"),
    Key::used("artifact", "the path of the program that has the functions, when it is not the one that runs"),
    Key::accepted(
        "networking_layer",
        "name its address with `ingress_endpoint`",
        "which ingress the cluster has",
    )
    .harmless(),
    Key::accepted("invoke_pool_threads", "requests need no threads", "the threads that make requests")
        .harmless(),
    Key::accepted("git_url", "images are made of programs", "where the sources of the image are").harmless(),
    Key::accepted("git_rev", "images are made of programs", "the version of those sources").harmless(),
    Key::accepted("cluster", "the kubeconfig says it", "the name of the cluster").harmless(),
];

/// The values of the section.
#[derive(Debug, Clone)]
pub(crate) struct KnativeConfig {
    pub(crate) access: Access,
    pub(crate) images: Images,
    pub(crate) routing: Routing,
    pub(crate) http2: bool,
    pub(crate) pod: PodConfig,
    platform: Platform,
    wish: WorkerWish,
    /// How long an activation may run.
    pub(crate) timeout: Duration,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Routing {
    /// To the URL that the Service says it has.
    Service,
    /// To an ingress; the host that requests name is the Service's name with this behind it, or what the Service says.
    Ingress(Uri, Option<String>),
    /// To the activator, with the name of the Revision.
    Activator(Uri),
}

/// What the pods of the workers have.
#[derive(Debug, Clone)]
pub(crate) struct PodConfig {
    pub(crate) min_workers: usize,
    pub(crate) service_account: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) env_vars: BTreeMap<String, String>,
    pub(crate) pull_secrets: Vec<String>,
}

impl KnativeConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        let section = config.section(SCHEME);
        let platform = Platform::parse(PLATFORM, "the data of `knative`")?.overridden_by(section)?;
        let wish = WorkerWish::read(section)?;
        let timeout = platform.worker(&wish)?.timeout_limit.unwrap_or(Duration::from_secs(600));
        Ok(Self {
            access: Access::read(SCHEME, section)?,
            images: Images::read(SCHEME, section)?,
            routing: routing(section)?,
            http2: section.bool("http2")?.unwrap_or(true),
            pod: PodConfig {
                min_workers: section.whole("min_workers")?.unwrap_or(0),
                service_account: section.string("service_account")?.map(str::to_owned),
                annotations: annotations(section)?,
                env_vars: env_vars(section)?,
                pull_secrets: names(section, "image_pull_secrets")?,
            },
            platform,
            wish,
            timeout,
        })
    }

    /// The capabilities of workers, or of workers with another memory.
    ///
    /// # Errors
    /// When there are no workers with this memory.
    pub(crate) fn capabilities(&self, memory: Option<u64>) -> Result<Capabilities> {
        let mut wish = self.wish.clone();
        wish.memory = memory.or(wish.memory);
        self.platform.worker(&wish)
    }
}

fn routing(section: Section<'_>) -> Result<Routing> {
    let suffix = section.string("service_host_suffix")?.map(str::to_owned);
    let (ingress, activator) =
        (address(section, "ingress_endpoint")?, address(section, "activator_endpoint")?);
    match (ingress, activator) {
        (Some(_), Some(_)) => Err(section.unusable(
            "activator_endpoint",
            "is there together with `ingress_endpoint`",
            "name one of the two",
        )),
        (Some(ingress), None) => Ok(Routing::Ingress(ingress, suffix)),
        (None, Some(activator)) => Ok(Routing::Activator(activator)),
        (None, None) => Ok(Routing::Service),
    }
}

fn address(section: Section<'_>, key: &'static str) -> Result<Option<Uri>> {
    let Some(text) = section.string(key)? else { return Ok(None) };
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.path() == "/"
    });
    let problem = format!("is `{}`, which is no address", text.escape_debug());
    uri.map(Some).ok_or_else(|| section.unusable(key, &problem, "write it as `http://10.0.0.1:8080`"))
}

fn annotations(section: Section<'_>) -> Result<BTreeMap<String, String>> {
    let annotations = section.texts("annotations")?;
    let is_ours = |name: &&String| {
        ["min-scale", "max-scale", "minScale", "maxScale"]
            .iter()
            .any(|own| name.strip_prefix("autoscaling.knative.dev/") == Some(own))
    };
    match annotations.keys().find(is_ours) {
        Some(name) => Err(section.unusable(
            "annotations",
            &format!("sets `{name}`"),
            "write `min_workers` and `max_workers`",
        )),
        None => Ok(annotations),
    }
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Environment, Sources};

    use super::*;

    pub(crate) fn read(section: &str) -> Result<KnativeConfig> {
        let yaml = Some(format!("knative:\n{section}"));
        KnativeConfig::read(&Config::load(&Sources { yaml, file: None }, &Environment::new("."))?)
    }

    #[test]
    fn a_worker_has_as_many_sub_workers_as_cpus() {
        for (cpus, processes) in [("1", 1), ("4", 4), ("0.5", 1)] {
            let config = read(&format!("  runtime_cpu: {cpus}\n")).expect("it is right");
            let capabilities = config.capabilities(None).expect("there are such workers");
            assert_eq!(capabilities.default_worker_processes, processes, "{cpus}");
            assert_eq!((capabilities.worker_memory, config.timeout), (512, Duration::from_secs(600)));
        }
        let config = read("  runtime_memory: 1024\n").expect("it is right");
        assert_eq!(config.capabilities(Some(2048)).expect("they are sold").worker_memory, 2048);
    }

    #[test]
    fn requests_go_where_the_section_says() {
        let of = |section: &str| read(section).expect("it is right").routing;
        assert_eq!(of("  runtime_cpu: 1\n"), Routing::Service);
        let ingress: Uri = "http://10.0.0.1:31380".parse().expect("an address");
        assert_eq!(
            of("  ingress_endpoint: http://10.0.0.1:31380\n"),
            Routing::Ingress(ingress.clone(), None)
        );
        let suffix = Some(".default.example.com".to_owned());
        assert_eq!(
            of("  ingress_endpoint: http://10.0.0.1:31380\n  service_host_suffix: .default.example.com\n"),
            Routing::Ingress(ingress, suffix)
        );
        let activator = "http://10.0.0.2:8012".parse().expect("an address");
        assert_eq!(of("  activator_endpoint: http://10.0.0.2:8012\n"), Routing::Activator(activator));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (section, wanted) in [
            ("  runtime_cpu: 0\n", "`runtime_cpu`"),
            ("  runtime_memory: 1\n", "64 to 1048576"),
            ("  namespace: Batch Jobs\n", "small letters"),
            ("  runtime: 'a b'\n", "names no image"),
            ("  ingress_endpoint: 10.0.0.1:80\n", "http://10.0.0.1:8080"),
            ("  ingress_endpoint: http://10.0.0.1/path\n", "http://10.0.0.1:8080"),
            ("  ingress_endpoint: http://a:1\n  activator_endpoint: http://b:1\n", "one of the two"),
            ("  env_vars: {LITHOPS_LISTEN: x}\n", "`LITHOPS_LISTEN`"),
            ("  annotations: {autoscaling.knative.dev/max-scale: '3'}\n", "`max_workers`"),
            ("  runtime_timeout: 25h\n", "at most"),
        ] {
            let error = read(section).expect_err(section);
            assert!(
                error.to_string().contains(wanted) || error.hint().is_some_and(|hint| hint.contains(wanted)),
                "{section}: {error}"
            );
        }
    }
}
