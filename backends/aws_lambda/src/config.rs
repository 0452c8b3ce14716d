//! The section `aws_lambda`: its keys, and what they mean.

use std::{collections::BTreeMap, path::PathBuf};

use lithops_cloud_aws::{
    ACCESS_KEY_ID, Access, Keys, REGION_NAME, SECRET_ACCESS_KEY, SECTION, SESSION_TOKEN, endpoint, region,
};
use lithops_core::{
    artifact::Machine,
    compute::{Capabilities, Platform, Reports, WorkerWish},
    config::{Config, Key, Section, Value},
    error::Result,
};

use crate::SCHEME;

/// The capabilities, limits and prices of Lambda, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

/// The hint where a program does not exist.
const PROGRAM: &str = "name the compiled program, or leave the key out";

/// The most characters of a namespace, and of the name of a runtime: both fit into the 64 of a function's name.
pub(crate) const LONGEST_NAME: usize = 12;

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used("execution_role", "the ARN of the role that functions run as; needed to deploy"),
    Key::used(
        "region",
        "the region, such as us-east-1; else that of the section `aws` or of the environment",
    ),
    Key::used("endpoint", "another address of the service, such as http://127.0.0.1:4566"),
    Key::used(
        "runtime_memory",
        "the memory of a function instance in MB, which buys its vCPUs; by default 256",
    )
    .harmless(),
    Key::used("runtime_timeout", "how long an instance may run; by default 180 seconds").harmless(),
    Key::used_except(
        "runtime",
        "a name of your own in the names of functions",
        is_of_python,
        "it names an interpreter or an image of Python Lithops, and a compiled program is deployed without either",
    ),
    REGION_NAME,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    Key::used("namespace", "what tells your functions from those of others in the same account"),
    Key::used("architecture", "x86_64 or arm64").harmless(),
    Key::used("ephemeral_storage", "MB of disk of an instance, from 512 to 10240").harmless(),
    Key::used(
        "env_vars",
        "environment variables of the function; values may be seen by who may see the function",
    ),
    Key::used("user_tags", "tags of the function"),
    Key::used("vpc", "{subnets: [..], security_groups: [..]} that the function is in"),
    Key::used("efs", "file systems that are mounted: [{access_point: arn, mount_path: /mnt/data}]"),
    Key::used(
        "runtime_include_function",
        "whether the program is deployed as the function itself, rather than fetched by it",
    ),
    Key::used(
        "response_streaming",
        "whether outcomes come back as calls end; else with the last; by default false",
    )
    .harmless(),
    Key::used("worker", "the path of the `lithops-worker` program that is deployed; else it is looked for"),
    Key::used("artifact", "the path of the program that has the functions, when it is not the one that runs"),
    Key::accepted("account_id", "the credentials say it", "the account"),
    Key::accepted("invoke_pool_threads", "invocations are asynchronous", "threads that invoke").harmless(),
    Key::accepted(
        "remote_invoker",
        "results ride back on the response",
        "whether a function invokes the others",
    )
    .harmless(),
];

/// The values of the section.
#[derive(Clone)]
#[non_exhaustive]
pub struct AwsLambdaConfig {
    /// Region, address and access key.
    pub access: Access,
    /// The role that functions run as.
    pub execution_role: Option<String>,
    /// The part of names of functions that follows `lithops`, and tells them from those of others.
    pub namespace: Option<String>,
    /// A part of names of functions that the user has chosen.
    pub runtime: Option<String>,
    /// The processor of the instances.
    pub machine: Machine,
    /// The disk of an instance, in MB.
    pub ephemeral_storage: Option<i32>,
    /// Environment variables of the function.
    pub env_vars: BTreeMap<String, String>,
    /// Tags of the function.
    pub user_tags: BTreeMap<String, String>,
    /// The subnets and the security groups of the function.
    pub vpc: Option<(Vec<String>, Vec<String>)>,
    /// Access points of file systems, and where they are mounted.
    pub efs: Vec<(String, String)>,
    /// Whether the program is deployed as the function.
    pub include_function: bool,
    /// Whether outcomes come back as calls end, rather than all with the last.
    pub streams: bool,
    /// The program that is deployed.
    pub worker: Option<PathBuf>,
    /// The program that has the functions.
    pub artifact: Option<PathBuf>,
    platform: Platform,
    wish: WorkerWish,
}

impl std::fmt::Debug for AwsLambdaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of variables may be secrets.
        f.debug_struct("AwsLambdaConfig")
            .field("access", &self.access)
            .field("execution_role", &self.execution_role)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

impl AwsLambdaConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub fn read(config: &Config) -> Result<Self> {
        let section = config.section(SCHEME);
        let machine = match section.one_of("architecture", &["x86_64", "arm64"])? {
            Some("arm64") => Machine::Arm64,
            _ => Machine::X86_64,
        };
        let endpoint = endpoint(config, SCHEME)?;
        let access = Access {
            region: region(config, &[SCHEME, SECTION], endpoint.is_some())?,
            endpoint: endpoint.map(str::to_owned),
            keys: Keys::read(config, &[SCHEME, SECTION])?,
        };
        let platform = Platform::parse(PLATFORM, "the data of `aws_lambda`")?.overridden_by(section)?;
        let wish = WorkerWish { variant: Some(machine.to_string()), ..WorkerWish::read(section)? };
        let name = |key: &str| -> Result<Option<String>> {
            let is_foreign =
                key == "runtime" && section.get(key).is_some_and(|located| is_of_python(&located.value));
            let Some(name) = section.string(key)?.filter(|_| !is_foreign) else { return Ok(None) };
            let shown = name.escape_debug();
            let problem = format!("is `{shown}`, and is a part of the names of functions");
            let wrong = |hint| section.unusable(key, &problem, hint);
            fits_a_name(name, LONGEST_NAME).map(|()| Some(name.to_owned())).map_err(wrong)
        };
        let disk = section.positive("ephemeral_storage")?;
        if let Some(disk) = disk.filter(|disk| !(512..=10240).contains(disk)) {
            let hint = "write a whole number from 512 to 10240";
            let problem = format!("is {disk} MB, which Lambda does not sell");
            return Err(section.unusable("ephemeral_storage", &problem, hint));
        }
        let role = section.string("execution_role")?;
        if let Some(role) = role.filter(|role| !is_role(role)) {
            let hint = "write it whole: `execution_role: arn:aws:iam::123456789012:role/my-role`";
            let problem = format!("is `{role}`, which is no ARN of a role");
            return Err(section.unusable("execution_role", &problem, hint));
        }
        let env_vars = section.texts("env_vars")?;
        if let Some(name) = env_vars.keys().find(|name| name.starts_with("AWS_") || *name == "_HANDLER") {
            let hint = "names that begin with `AWS_` are Lambda's own";
            return Err(section.unusable("env_vars", &format!("sets `{name}`"), hint));
        }
        Ok(Self {
            access,
            execution_role: role.map(str::to_owned),
            namespace: name("namespace")?,
            runtime: name("runtime")?,
            machine,
            ephemeral_storage: disk.and_then(|disk| i32::try_from(disk).ok()),
            env_vars,
            user_tags: section.texts("user_tags")?,
            vpc: vpc(section)?,
            efs: efs(section)?,
            include_function: section.bool("runtime_include_function")?.unwrap_or(false),
            streams: section.bool("response_streaming")?.unwrap_or(false),
            worker: section.existing("worker", PROGRAM)?,
            artifact: section.existing("artifact", PROGRAM)?,
            platform,
            wish,
        })
    }

    /// The capabilities of function instances, with another memory if one is given.
    ///
    /// # Errors
    /// When Lambda does not sell it.
    pub fn capabilities(&self, memory: Option<u64>) -> Result<Capabilities> {
        let mut wish = self.wish.clone();
        wish.memory = memory.or(wish.memory);
        let mut capabilities = self.platform.worker(&wish)?;
        if self.streams {
            capabilities.reports = Reports::Streamed;
        }
        Ok(capabilities)
    }
}

/// Checks a part of the name of a function; the error says what to write instead.
pub(crate) fn fits_a_name(name: &str, longest: usize) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (1..=longest).contains(&name.len()) && name.chars().all(fits) {
        true => Ok(()),
        false => Err(format!("write at most {longest} letters, digits, `-` and `_`")),
    }
}

/// `arn:aws:iam::123456789012:role/path/name`, in any partition.
fn is_role(arn: &str) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = parts[..] else { return false };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&byte);
    partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && name.bytes().all(is_name))
}

/// Whether a runtime is one of Python Lithops: an interpreter, as in `python3.12`, a layer or an image.
fn is_of_python(runtime: &Value) -> bool {
    runtime.as_str().is_some_and(|name| name.contains(['.', '/', ':']))
}

fn list(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::List(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn vpc(section: Section<'_>) -> Result<Option<(Vec<String>, Vec<String>)>> {
    let Some(located) = section.get("vpc") else { return Ok(None) };
    let read = match &located.value {
        Value::Map(map) => list(map.get("subnets")).zip(list(map.get("security_groups"))),
        _ => None,
    };
    read.map(Some).ok_or_else(|| {
        let hint = "write `vpc: {subnets: [subnet-1], security_groups: [sg-1]}`";
        section.unusable("vpc", "does not say which subnets and security groups", hint)
    })
}

fn efs(section: Section<'_>) -> Result<Vec<(String, String)>> {
    let Some(located) = section.get("efs") else { return Ok(Vec::new()) };
    let one = |value: &Value| match value {
        Value::Map(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
            text("access_point").zip(text("mount_path").filter(|path| path.starts_with("/mnt/")))
        }
        _ => None,
    };
    let read = match &located.value {
        Value::List(values) => values.iter().map(one).collect(),
        _ => None,
    };
    read.ok_or_else(|| {
        let hint = "write `efs: [{access_point: arn:aws:elasticfilesystem:.., mount_path: /mnt/data}]`";
        section.unusable("efs", "does not say what is mounted where", hint)
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
        let yaml = Some(format!("aws_lambda:\n  region: eu-west-1\n{section}"));
        let config = Config::load(&Sources { yaml, file: None }, &Environment::new("."))?;
        AwsLambdaConfig::read(&config)?.capabilities(None)
    }

    fn refused(section: &str) -> String {
        read(section).expect_err("it is wrong").to_string()
    }

    #[test]
    fn memory_buys_vcpus() {
        for (memory, vcpus) in [(1769, 1.0), (3538, 2.0), (128, 0.0724), (10240, 5.788)] {
            let worker = read(&format!("  runtime_memory: {memory}\n")).expect("it is sold");
            assert!((worker.worker_cpus - vcpus).abs() < 1e-3, "{memory}: {}", worker.worker_cpus);
            assert_eq!((worker.worker_memory, worker.default_worker_processes), (memory, 1));
        }
    }

    #[test]
    fn the_limits_are_those_of_lambda() {
        let worker = read("").expect("the defaults are right");
        assert_eq!(worker.worker_memory, 256);
        assert_eq!(worker.timeout_limit, Some(Duration::from_secs(180)));
        assert_eq!(worker.payload_limit, Some(4_717_000));
        assert_eq!(worker.default_max_workers, 1000);
        for region in ["evil.test/x?", "a.b", "u@h", "EU"] {
            let yaml = Some(format!("aws_lambda: {{region: '{region}'}}"));
            let config = Config::load(&Sources { yaml, file: None }, &Environment::new(".")).expect("YAML");
            let error = AwsLambdaConfig::read(&config).expect_err(region).to_string();
            assert!(error.contains("`region`") && error.contains(region), "{error}");
        }
        for (section, wanted) in [
            ("  runtime_memory: 127\n", "128 to 10240"),
            ("  runtime_memory: 10241\n", "128 to 10240"),
            ("  runtime_memory: -1\n", "`runtime_memory`"),
            ("  runtime_timeout: 901\n", "write at most 900"),
            ("  runtime_timeout: 0\n", "`runtime_timeout`"),
            ("  runtime_cpu: 2\n", "`runtime_cpu` cannot be chosen"),
            ("  architecture: riscv\n", "`x86_64`, `arm64`"),
            ("  ephemeral_storage: 100\n", "from 512 to 10240"),
            ("  execution_role: lithops\n", "no ARN of a role"),
            ("  execution_role: arn:aws:iam::1:role/x\n", "no ARN of a role"),
            ("  execution_role: 'arn:aws:iam::123456789012:role/x?y'\n", "no ARN of a role"),
            ("  endpoint: 'http://host/path'\n", "`endpoint` in section `aws_lambda` cannot be used"),
            ("  endpoint: 'http://u:p@host'\n", "no address of a service"),
            ("  namespace: a b\n", "letters, digits"),
            ("  runtime: a-name-that-is-too-long\n", "at most 12"),
            ("  env_vars: {AWS_REGION: x}\n", "`AWS_REGION`"),
            ("  env_vars: [A]\n", "a mapping of names to texts"),
            ("  vpc: {subnets: [a]}\n", "security_groups: [sg-1]"),
            ("  efs: [{access_point: a, mount_path: /data}]\n", "mount_path: /mnt/data"),
            ("  worker: /no/such/file\n", "there is no such file"),
            ("  capabilities: {price: {gb_second_usd: -1}}\n", "`price.gb_second_usd`"),
            ("  capabilities: {price: {gb_second: 1}}\n", "gb_second"),
            ("  capabilities: {price: {gb_second_usd: .nan}}\n", "is .nan, which is not a number"),
        ] {
            let said = refused(section);
            assert!(said.contains(wanted), "{section}: {said}");
        }
    }

    #[test]
    fn what_is_said_is_read_and_secrets_are_not_shown() {
        let yaml = "aws: {access_key_id: ID, secret_access_key: hunter2, region: eu-west-1}\naws_lambda:\n  env_vars: {TOKEN: hunter3, N: 4}\n  user_tags: {team: data}\n  efs: [{access_point: arn:x, mount_path: /mnt/x}]\n  vpc: {subnets: [s], security_groups: [g]}\n  architecture: arm64\n  response_streaming: true\n";
        let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("it is YAML");
        let read = AwsLambdaConfig::read(&config).expect("it is right");
        assert_eq!(read.access.region.as_deref(), Some("eu-west-1"));
        assert_eq!((read.env_vars["N"].as_str(), read.user_tags["team"].as_str()), ("4", "data"));
        assert_eq!((read.machine, read.efs.len(), read.vpc.is_some()), (Machine::Arm64, 1, true));
        let capabilities = read.capabilities(None).expect("they are sold");
        assert_eq!(
            (capabilities.reports, capabilities.storages),
            (Reports::Streamed, vec!["aws_s3".to_owned()])
        );
        let shown = format!("{read:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        let half = "aws: {access_key_id: ID}\n".to_owned();
        let config =
            Config::load(&Sources { yaml: Some(half), file: None }, &Environment::new(".")).expect("YAML");
        let error = AwsLambdaConfig::read(&config).expect_err("half a key").to_string();
        assert!(error.contains("one half of the credentials"), "{error}");
    }

    #[test]
    fn a_job_costs_what_lambda_bills() {
        // A thousand calls of a second on 1,769 MB: the published formula, with start and overhead set to nothing.
        let section = "  runtime_memory: 1769\n  capabilities: {startup: {cold: 1us, sub_worker: 1us}, call_overhead: 1us}\n";
        let usd = |section: &str| {
            let capabilities = read(section).expect("it is right");
            let workload = Workload::given(Durations::fixed(0.9999).expect("a number"));
            let request = PlanRequest {
                chunksize: Some(Count::Exactly(1)),
                workload: Some(&workload),
                ..PlanRequest::new(1000, &capabilities)
            };
            request.plan().expect("a plan").cost().usd.expect("priced")
        };
        let expected = 1000.0 * (0.000_000_2 + 1769.0 / 1024.0 * 0.000_016_666_7);
        assert!((usd(section) - expected).abs() < expected * 1e-3, "{} {expected}", usd(section));
        let arm = usd(&format!("{section}  architecture: arm64\n"));
        assert!(arm < expected * 0.81, "{arm} {expected}");
        let dear =
            usd(&section.replace("call_overhead: 1us", "call_overhead: 1us, price: {gb_second_usd: 1}"));
        assert!(dear > 1000.0, "{dear}");
    }
}
