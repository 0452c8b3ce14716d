//! The section `aws_lambda`: its keys, and what they mean.

use lithops_core::{
    compute::{Capabilities, Platform, WorkerWish},
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
};

use crate::SCHEME;

/// What is known of this platform, as data.
const PLATFORM: &str = include_str!("../capabilities.yaml");

const NOT_YET: &str = "this version plans for Lambda, and does not deploy to it yet";

/// The keys of the section.
pub(crate) const KEYS: &[Key] = &[
    Key::used("region", "the region, such as us-east-1"),
    Key::used(
        "runtime_memory",
        "the memory of a function instance in MB, which buys its vCPUs; by default 256",
    ),
    Key::used("runtime_timeout", "how long an instance may run; by default 180 seconds"),
    Key::used("architecture", "x86_64 or arm64"),
    Key::used("worker_processes", "how many calls may run at once in one instance; by default 1"),
    Key::used("max_workers", "how many instances may live at once; by default 1000"),
    Key::used(
        "capabilities",
        "what is known otherwise of Lambda: prices of the region, limits, starting times",
    ),
    Key::accepted("execution_role", NOT_YET, "the role of the function"),
    Key::accepted("runtime", NOT_YET, "the name of the function that is deployed"),
    Key::accepted("invoke_pool_threads", "invocations are asynchronous", "threads that invoke"),
    Key::accepted("ephemeral_storage", NOT_YET, "MB of disk of an instance"),
    Key::accepted("user_tags", NOT_YET, "tags of the function"),
    Key::accepted("env_vars", NOT_YET, "environment variables of the function"),
    Key::accepted("namespace", NOT_YET, "what names of functions start with"),
    Key::accepted("account_id", NOT_YET, "the account"),
    Key::accepted("vpc", NOT_YET, "subnets and security groups"),
    Key::accepted("efs", NOT_YET, "file systems that are mounted"),
    Key::accepted(
        "runtime_include_function",
        "a compiled program is shipped whole",
        "whether the function is in the image",
    ),
    Key::accepted(
        "remote_invoker",
        "results ride back on the response",
        "whether a function invokes the others",
    ),
];

/// What the section says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AwsLambdaConfig {
    /// The region, where one is named.
    pub region: Option<String>,
    platform: Platform,
    wish: WorkerWish,
}

impl AwsLambdaConfig {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub fn read(config: &Config) -> Result<Self> {
        let section = config.section(SCHEME);
        let architecture = section.string("architecture")?.unwrap_or("x86_64");
        if !["x86_64", "arm64"].contains(&architecture) {
            return Err(Error::new(
                ErrorKind::ConfigInvalid,
                format!("`architecture` in section `{SCHEME}` is `{architecture}`"),
            )
            .with_hint("write `x86_64` or `arm64`")
            .with_context("key", "aws_lambda.architecture"));
        }
        let region = section.string("region")?.or(config.section("aws").string("region")?);
        let platform = Platform::parse(PLATFORM, "the data of `aws_lambda`")?.overridden_by(section)?;
        let wish = WorkerWish { variant: Some(architecture.to_owned()), ..WorkerWish::read(section)? };
        Ok(Self { region: region.map(str::to_owned), platform, wish })
    }

    /// What function instances can do, with another memory if one is given.
    ///
    /// # Errors
    /// When Lambda does not sell it.
    pub fn capabilities(&self, memory: Option<u64>) -> Result<Capabilities> {
        let mut wish = self.wish.clone();
        wish.memory = memory.or(wish.memory);
        self.platform.worker(&wish)
    }
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
        assert_eq!(worker.payload_limit, Some(6 << 20));
        assert_eq!(worker.default_max_workers, 1000);
        for (section, wanted) in [
            ("  runtime_memory: 127\n", "128 to 10240"),
            ("  runtime_memory: 10241\n", "128 to 10240"),
            ("  runtime_memory: -1\n", "`runtime_memory`"),
            ("  runtime_timeout: 901\n", "write at most 900"),
            ("  runtime_timeout: 0\n", "`runtime_timeout`"),
            ("  runtime_cpu: 2\n", "`runtime_cpu` cannot be chosen"),
            ("  architecture: riscv\n", "`x86_64` or `arm64`"),
            ("  capabilities: {price: {gb_second_usd: -1}}\n", "`price.gb_second_usd`"),
            ("  capabilities: {price: {gb_second: 1}}\n", "gb_second"),
            ("  capabilities: {price: {gb_second_usd: .nan}}\n", "non-finite"),
        ] {
            let said = refused(section);
            assert!(said.contains(wanted), "{section}: {said}");
        }
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
