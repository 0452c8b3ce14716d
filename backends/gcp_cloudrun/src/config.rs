//! The section `gcp_cloudrun`: its keys, and what they mean.

use std::{collections::BTreeMap, path::PathBuf};

use lithops_cloud_google::{
    CREDENTIALS_PATH, KeyFile, PROJECT, REGION, SECTION, credentials, endpoint, region,
};
use lithops_core::{
    compute::{Capabilities, Platform, WorkerWish},
    config::{Config, Key, Value},
    error::{Error, ErrorKind, Result},
};

use crate::SCHEME;

/// The capabilities, limits and prices of Cloud Run, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

/// The hint where a program does not exist.
const PROGRAM: &str = "name the compiled program, or leave the key out";

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    REGION,
    PROJECT,
    CREDENTIALS_PATH,
    Key::used(
        "service_account",
        "the service account that instances run as; by default that of the credentials",
    ),
    Key::used_except(
        "runtime",
        "an image with a `lithops-worker` that serves HTTP; by default one is made of the program",
        is_of_python,
        "it names an image of Python Lithops, and the image is made of the compiled program",
    ),
    Key::used("base_image", "an image that the program is put onto; by default it is put onto none"),
    Key::used("artifact_registry_repository", "the repository in Artifact Registry; by default `lithops`"),
    Key::used("docker_server", "another registry for images; by default that of the region"),
    Key::used("docker_user", "the user of that registry"),
    Key::used("docker_password", "the password of that registry"),
    Key::used("runtime_cpu", "the vCPUs of an instance: 1, 2, 4, 6 or 8").harmless(),
    Key::used("runtime_memory", "the memory of an instance in MB; by default 2048").harmless(),
    Key::used("runtime_timeout", "how long a request may take; by default 300 seconds").harmless(),
    Key::used("min_workers", "instances that are kept, and billed, all the time; by default 0"),
    Key::used(
        "env_vars",
        "environment variables of the instances; values may be seen by who may see the service",
    ),
    Key::used("vpc_connector", "the VPC connector through which instances connect"),
    Key::used("network", "the network that instances are in"),
    Key::used("subnet", "the subnet that instances are in"),
    Key::used(
        "invoker",
        "the service account whose ID tokens requests have; needed where the credentials are a user's",
    ),
    Key::used(
        "endpoint",
        "another address of the Admin API and of the registry of images, such as http://127.0.0.1:8080",
    ),
    Key::used(
        "worker",
        "the path of a `lithops-worker` that is put into the image; it fetches the program from the storage",
    ),
    Key::used("artifact", "the path of the program that has the functions, when it is not the one that runs"),
    Key::used("trigger", "`https`; Pub/Sub gives no answers"),
    Key::accepted("invoke_pool_threads", "requests are asynchronous", "threads that invoke").harmless(),
    Key::accepted(
        "runtime_include_function",
        "the program is in the image",
        "whether the image has the function",
    )
    .harmless(),
];

/// The values of the section.
#[derive(Clone)]
#[non_exhaustive]
pub struct GcpCloudRunConfig {
    /// The region.
    pub region: Option<String>,
    /// The project, where it is not that of the credentials.
    pub project: Option<String>,
    /// The file of the credentials; without one, the metadata server has them.
    pub key: Option<KeyFile>,
    /// The service account that instances run as.
    pub service_account: Option<String>,
    /// The service account whose ID tokens requests have.
    pub invoker: Option<String>,
    /// Another address of the Admin API.
    pub endpoint: Option<String>,
    /// An image that has the worker.
    pub runtime: Option<String>,
    /// Where images are pushed to, and how.
    pub registry: Registry,
    /// Instances that are always there.
    pub min_workers: usize,
    /// Environment variables of the instances.
    pub env_vars: BTreeMap<String, String>,
    /// The VPC connector, or network and subnet.
    pub network: Network,
    /// The program that is deployed in place of the user's.
    pub worker: Option<PathBuf>,
    /// The program that has the functions.
    pub artifact: Option<PathBuf>,
    platform: Platform,
    wish: WorkerWish,
}

/// Where images are pushed to.
#[derive(Clone)]
#[non_exhaustive]
pub struct Registry {
    /// Another registry than that of the region.
    pub server: Option<String>,
    /// The repository in Artifact Registry.
    pub repository: String,
    /// User and password of another registry.
    pub login: Option<(String, String)>,
    /// What the program is put onto.
    pub base_image: Option<String>,
}

impl std::fmt::Debug for Registry {
    /// Leaves out the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("server", &self.server).finish_non_exhaustive()
    }
}

/// How instances reach a private network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Network {
    /// The VPC connector.
    pub connector: Option<String>,
    /// The network.
    pub network: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
}

impl std::fmt::Debug for GcpCloudRunConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of variables may be secrets.
        f.debug_struct("GcpCloudRunConfig")
            .field("region", &self.region)
            .field("project", &self.project)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl GcpCloudRunConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub fn read(config: &Config) -> Result<Self> {
        let section = config.section(SCHEME);
        if let Some(other) = section.string("trigger")?.filter(|trigger| *trigger != "https") {
            let hint = "write `trigger: https`, or leave it out: Pub/Sub gives 100 s at most and no answer";
            return Err(section.unusable("trigger", &format!("is `{other}`"), hint));
        }
        let both = |key: &str| -> Result<Option<String>> {
            let own = section.string(key)?;
            Ok(own.or(config.section(SECTION).string(key)?).map(str::to_owned))
        };
        let text = |key: &str| -> Result<Option<String>> { Ok(section.string(key)?.map(str::to_owned)) };
        let endpoint = endpoint(config, SCHEME, "endpoint")?.map(str::to_owned);
        // An Admin API at another address is not Google's: the credentials of this machine do not go there.
        let sections: &[&str] = if endpoint.is_some() { &[SCHEME] } else { &[SCHEME, SECTION] };
        let key = credentials(config, sections, endpoint.is_none())?;
        let project = both("project")?;
        if let Some(project) = project.as_deref().filter(|project| !is_project(project)) {
            let shown = project.escape_debug();
            let hint = "write its ID: lower-case letters, digits and `-`";
            return Err(section.unusable(
                "project",
                &format!("is `{shown}`, which is no ID of a project"),
                hint,
            ));
        }
        let account = |key: &str| -> Result<Option<String>> {
            let Some(account) = both(key)? else { return Ok(None) };
            if is_account(&account) {
                return Ok(Some(account));
            }
            let shown = account.escape_debug();
            let hint = "write it whole: `NAME@PROJECT.iam.gserviceaccount.com`";
            Err(section.unusable(key, &format!("is `{shown}`, which is no service account"), hint))
        };
        let (service_account, invoker) = (account("service_account")?, account("invoker")?);
        let is_foreign = section.get("runtime").is_some_and(|located| is_of_python(&located.value));
        let login = text("docker_user")?.zip(text("docker_password")?);
        let env_vars = section.texts("env_vars")?;
        if let Some(name) =
            env_vars.keys().find(|name| name.starts_with("LITHOPS_") || RESERVED.contains(&name.as_str()))
        {
            let hint = "it is set by Cloud Run or by lithops: take another name";
            return Err(section.unusable("env_vars", &format!("sets `{name}`"), hint));
        }
        let repository = text("artifact_registry_repository")?.unwrap_or_else(|| "lithops".to_owned());
        let platform = Platform::parse(PLATFORM, "the data of `gcp_cloudrun`")?.overridden_by(section)?;
        let read = Self {
            region: region(config, &[SCHEME, SECTION])?,
            project,
            key,
            service_account,
            invoker,
            endpoint,
            runtime: text("runtime")?.filter(|_| !is_foreign),
            registry: Registry {
                server: text("docker_server")?,
                repository,
                login,
                base_image: text("base_image")?,
            },
            min_workers: section.whole("min_workers")?.unwrap_or(0),
            env_vars,
            network: Network {
                connector: text("vpc_connector")?,
                network: text("network")?,
                subnet: text("subnet")?,
            },
            worker: section.existing("worker", PROGRAM)?,
            artifact: section.existing("artifact", PROGRAM)?,
            platform,
            wish: WorkerWish::read(section)?,
        };
        read.capabilities(None).map_err(|error| error.with_context("section", SCHEME))?;
        Ok(read)
    }

    /// The capabilities of instances, with another memory if one is given.
    ///
    /// # Errors
    /// When Cloud Run does not sell it.
    pub fn capabilities(&self, memory: Option<u64>) -> Result<Capabilities> {
        let mut wish = self.wish.clone();
        wish.memory = memory.or(wish.memory);
        if let Some(cpus) = wish.vcpus.filter(|cpus| *cpus < 1.0) {
            return Err(wrong("runtime_cpu", format!("is {cpus}")).with_hint(
                "write 1, 2, 4, 6 or 8: less than one vCPU is sold without HTTP/2 to the instance",
            ));
        }
        self.platform.worker(&wish)
    }
}

/// Variables that Cloud Run sets itself, or by which a program becomes a worker.
const RESERVED: [&str; 4] = ["PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"];

fn wrong(key: &str, problem: String) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("`{key}` in section `{SCHEME}` {problem}"))
        .with_context("key", format!("{SCHEME}.{key}"))
}

/// Whether a runtime is one of Python Lithops: an interpreter, or an image that has one.
fn is_of_python(runtime: &Value) -> bool {
    runtime.as_str().is_some_and(|name| !name.contains('/') || name.contains("python"))
}

/// Whether the name of a variable says that its value is a secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    const WORDS: [&str; 7] = ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "CREDENTIAL", "PRIVATE", "APIKEY"];
    let name = name.to_uppercase();
    WORDS.iter().any(|word| name.contains(word)) || name == "KEY" || name.ends_with("_KEY")
}

fn is_project(project: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    (1..=63).contains(&project.len()) && project.bytes().all(fits)
}

fn is_account(account: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let parts = account.split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && name.bytes().chain(host.bytes()).all(fits)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lithops_core::{
        config::{Environment, Sources},
        plan::{Count, Durations, PlanRequest, Workload},
    };

    use super::*;

    fn read(section: &str) -> Result<Capabilities> {
        // With an address of its own, no credentials of this machine are looked for.
        let yaml =
            Some(format!("gcp_cloudrun:\n  region: us-east1\n  endpoint: 'http://127.0.0.1:1'\n{section}"));
        let config = Config::load(&Sources { yaml, file: None }, &Environment::new("."))?;
        GcpCloudRunConfig::read(&config)?.capabilities(None)
    }

    #[test]
    fn sizes_are_those_that_are_sold() {
        let worker = read("").expect("the defaults are right");
        assert_eq!(
            (worker.worker_memory, worker.worker_cpus, worker.default_worker_processes),
            (2048, 1.0, 1)
        );
        assert_eq!(worker.timeout_limit, Some(Duration::from_secs(300)));
        for (section, memory, processes) in [
            ("  runtime_cpu: 4\n", 2048, 4),
            ("  runtime_cpu: 6\n", 4096, 6),
            ("  runtime_cpu: 2\n  runtime_memory: 8192\n", 8192, 2),
            ("  runtime_memory: 512\n", 512, 1),
        ] {
            let worker = read(section).expect(section);
            assert_eq!(
                (worker.worker_memory, worker.default_worker_processes),
                (memory, processes),
                "{section}"
            );
        }
    }

    #[test]
    fn what_is_not_sold_or_cannot_be_is_refused_with_what_to_write() {
        for (section, wanted) in [
            ("  runtime_cpu: 3\n", "write one of 1, 2, 4, 6, 8"),
            ("  runtime_cpu: 0.25\n", "without HTTP/2"),
            ("  runtime_memory: 256\n", "512"),
            ("  runtime_memory: 8192\n", "from 512 to 4096"),
            ("  runtime_cpu: 8\n  runtime_memory: 2048\n", "from 4096 to 32768"),
            ("  runtime_timeout: 3601\n", "3600"),
            ("  trigger: pub/sub\n", "`trigger: https`"),
            ("  service_account: me\n", "no service account"),
            ("  invoker: 'a@b c.d'\n", "no service account"),
            ("  project: 'p/../q'\n", "no ID of a project"),
            ("  min_workers: 1.5\n", "a whole number"),
            ("  env_vars: {PORT: 1}\n", "`PORT`"),
            ("  env_vars: {LITHOPS_TRANSPORT: x}\n", "`LITHOPS_TRANSPORT`"),
            ("  worker: /no/such/file\n", "there is no such file"),
        ] {
            let said = read(section).expect_err(section).to_string();
            assert!(said.contains(wanted), "{section}: {said}");
        }
        let region = "gcp: {region: 'evil.test/x?'}\ngcp_cloudrun: {endpoint: 'http://127.0.0.1:1'}\n";
        let sources = Sources { yaml: Some(region.to_owned()), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
        let error = GcpCloudRunConfig::read(&config).expect_err("it leads to another host").to_string();
        assert!(error.starts_with("`region`"), "{error}");
    }

    #[test]
    fn a_name_that_says_secret_is_known() {
        for name in ["API_KEY", "db_password", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "apikey", "KEY"] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["RUST_LOG", "KEYSPACE", "MONKEY", "LANG", "BUCKET"] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn a_job_costs_what_cloud_run_bills() {
        // 10,000 calls of 2 s on 1 vCPU and 2 GiB, one for each request, with start and overhead set to nothing:
        // vCPU seconds, GiB seconds and requests, by the published prices.
        let section =
            "  capabilities: {startup: {cold: 1us, warm: 1us, sub_worker: 1us}, call_overhead: 1us}\n";
        let capabilities = read(section).expect("it is right");
        let workload = Workload::given(Durations::fixed(1.9999).expect("a number"));
        let request = PlanRequest {
            chunksize: Some(Count::Exactly(1)),
            workload: Some(&workload),
            ..PlanRequest::new(10_000, &capabilities)
        };
        let usd = request.plan().expect("a plan").cost().usd.expect("priced");
        let by_hand: f64 = 10_000.0 * (2.0 * 0.000024 + 2.0 * 2.0 * 0.0000025 + 0.0000004);
        assert!((by_hand - 0.584).abs() < 1e-9);
        assert!((usd - by_hand).abs() < 0.005, "{usd} {by_hand}");
    }

    /// The sizes are part of the data: plans for any backend that has such data refuse what is not sold.
    #[test]
    fn a_plan_knows_which_memory_is_sold_with_which_vcpus() {
        let platform = Platform::parse(PLATFORM, "the data of Cloud Run").expect("it is right");
        let plan = |vcpus: f64, memory: Option<u64>| {
            let worker =
                platform.worker(&WorkerWish { vcpus: Some(vcpus), memory, ..WorkerWish::default() })?;
            PlanRequest::new(16, &worker).plan()
        };
        for (vcpus, memory, processes) in [(1.0, 2048, 1), (4.0, 2048, 4), (6.0, 4096, 6), (8.0, 4096, 8)] {
            let plan = plan(vcpus, None).expect("it is sold");
            assert_eq!((plan.worker_memory(), plan.worker_processes()), (memory, processes), "{vcpus}");
        }
        for (vcpus, memory, words) in [
            (3.0, None, "write one of 1, 2, 4, 6, 8"),
            (2.0, Some(8193), "from 512 to 8192"),
            (4.0, Some(1024), "from 2048 to 16384"),
        ] {
            let error = plan(vcpus, memory).expect_err("it is not sold").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
