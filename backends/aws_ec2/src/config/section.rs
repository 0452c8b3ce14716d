//! The section `aws_ec2`: what its keys mean.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use lithops_cloud_aws::{Access, Keys, SECTION, endpoint, region};
use lithops_core::{
    artifact::Machine,
    board::LeaseConfig,
    compute::{Capabilities, Platform, WorkerWish},
    config::{Config, Section, Value},
    error::Result,
};

use crate::{
    SCHEME,
    api::answers::Instance,
    config::{
        prices::{self, Prices, SpotMarket},
        volumes::{self, Volume},
    },
};

/// What is known of instances, as data.
const PLATFORM: &str = include_str!("../../capabilities.yaml");

/// The types by default: all have two vCPUs, so that the platform may choose among them.
const TYPES: &[&str] = &["c7i.large", "c7a.large", "c6i.large", "m7i.large"];

/// Whether instances are spot instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spot {
    /// As far as there are any; the rest is on demand.
    First,
    Only,
    Never,
}

/// The values of the section.
#[derive(Debug, Clone)]
pub(crate) struct Ec2Config {
    pub(crate) access: Access,
    /// The name or the ARN of the instance profile.
    pub(crate) instance_role: Option<String>,
    pub(crate) types: Vec<String>,
    pub(crate) machine: Machine,
    pub(crate) spot: Spot,
    pub(crate) spot_patience: Duration,
    pub(crate) hard_limit: Duration,
    pub(crate) start_timeout: Duration,
    /// An image; without one, the newest of Amazon Linux 2023, with the drivers of GPUs where these are wanted.
    pub(crate) ami: Option<String>,
    pub(crate) has_gpus: bool,
    pub(crate) volumes: Vec<Volume>,
    /// The name of the first disk, by the configuration or as images of Amazon Linux call it.
    pub(crate) root_device: String,
    /// Whether the image is to be asked how it calls its first disk.
    pub(crate) asks_root: bool,
    /// Whether no instance is started: the user starts the workers, on instances that there are.
    pub(crate) is_consuming: bool,
    pub(crate) vpc: Option<String>,
    pub(crate) subnets: Vec<String>,
    pub(crate) security_group: Option<String>,
    pub(crate) key_name: Option<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) artifact: Option<PathBuf>,
    pub(crate) prices: Prices,
    /// Whether the configuration says what an hour costs: that counts then, however an instance was bought.
    pub(crate) is_priced: bool,
    pub(crate) capabilities: Capabilities,
}

impl Ec2Config {
    /// Reads the section.
    ///
    /// # Errors
    /// When a value cannot be what it should be.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        let section = config.section(SCHEME);
        let text = |key: &str| -> Result<Option<String>> { Ok(section.string(key)?.map(str::to_owned)) };
        let endpoint = endpoint(config, SCHEME)?;
        let access = Access {
            region: region(config, &[SCHEME, SECTION], endpoint.is_some())?,
            endpoint: endpoint.map(str::to_owned),
            keys: Keys::read(config, &[SCHEME, SECTION])?,
        };
        if section.bool("auto_dismantle")? == Some(false) {
            let hint = "leave the key out, and write a longer `soft_dismantle_timeout`";
            return Err(section.unusable(
                "auto_dismantle",
                "is false, and nothing else would end the instances",
                hint,
            ));
        }
        let types = names(section, "worker_instance_type")?;
        let types =
            if types.is_empty() { TYPES.iter().map(|name| (*name).to_owned()).collect() } else { types };
        let machine = machine(section, &types)?;
        let has_gpus = gpus(section, &types)?;
        let (mut capabilities, on_demand) = capabilities(section, &types)?;
        let (said, ami) = (text("root_device")?, ami(section)?);
        let asks_root = said.is_none() && ami.is_some();
        let root_device = said.unwrap_or_else(|| "/dev/xvda".to_owned());
        let volumes = volumes::read(section, &root_device)?;
        let (spot, is_priced) = (spot(section)?, says_price(section, MACHINE));
        if !says_price(section, &["disk_hour_usd"]) {
            capabilities.price.disk_hour_usd = prices::disk_hour_usd(volumes::gib(&volumes))?;
        }
        capabilities.spot = prices::spot(section, capabilities.spot)?.filter(|_| spot != Spot::Never);
        let prices = Prices::new(on_demand, &capabilities.price, capabilities.spot);
        if let Some(spot) = capabilities.spot.as_mut().filter(|_| is_priced) {
            // What the configuration says is what an instance costs, however it was bought.
            spot.discount = 0.0;
        }
        capabilities.pull = Some(lease(section, capabilities.pull.unwrap_or_default())?);
        let mut subnets = names(section, "subnet_ids")?;
        subnets.extend(text("public_subnet_id")?);
        Ok(Self {
            access,
            instance_role: role(section)?,
            types,
            machine,
            spot,
            spot_patience: section.duration("spot_patience")?.unwrap_or(Duration::from_secs(60)),
            hard_limit: hard_limit(section)?,
            start_timeout: section.duration("start_timeout")?.unwrap_or(Duration::from_secs(180)),
            ami,
            has_gpus,
            volumes,
            root_device,
            asks_root,
            is_consuming: exec_mode(section)? == "consume",
            vpc: text("vpc_id")?,
            subnets,
            security_group: text("security_group_id")?,
            key_name: text("key_name")?,
            tags: tags(section)?,
            artifact: section.existing("artifact", "name the compiled program, or leave the key out")?,
            prices,
            is_priced,
            capabilities,
        })
    }

    /// What an hour of an instance costs, in US dollars.
    pub(crate) fn hour_usd(&self, instance: &Instance, market: Option<&SpotMarket>) -> f64 {
        match self.is_priced {
            true => {
                let Capabilities { price, worker_memory, worker_cpus, .. } = &self.capabilities;
                price.second_usd(*worker_memory, *worker_cpus) * 3600.0 + self.prices.extras(instance)
            }
            false => self.prices.of(instance, market),
        }
    }

    /// The image, as EC2 is told it.
    pub(crate) fn image(&self) -> String {
        self.ami.clone().unwrap_or_else(|| format!("resolve:ssm:{}", self.parameter()))
    }

    /// The parameter that names the newest image of Amazon Linux 2023.
    pub(crate) fn parameter(&self) -> String {
        let arch = if self.machine == Machine::Arm64 { "arm64" } else { "x86_64" };
        if self.has_gpus {
            return format!(
                "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
            );
        }
        format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}")
    }
}

/// What instances of these types can do, and what each costs on demand, as far as it is known. They all have as many
/// vCPUs as the first.
fn capabilities(section: Section<'_>, types: &[String]) -> Result<(Capabilities, Vec<(String, f64)>)> {
    let platform = Platform::parse(PLATFORM, "the data of `aws_ec2`")?.overridden_by(section)?;
    let of = |name: &String| {
        let wish = WorkerWish { variant: Some(name.clone()), ..WorkerWish::default() };
        // What the user says of the platform counts more than what is known of the type.
        Platform::parse(PLATFORM, "the data of `aws_ec2`")?.worker(&wish)
    };
    let says = |part: &str| match section.get("capabilities").map(|located| &located.value) {
        Some(Value::Map(map)) => map.contains_key(part),
        _ => false,
    };
    let on_demand =
        types.iter().filter_map(|name| Some((name.clone(), of(name).ok()?.price.worker_hour_usd)));
    let on_demand: Vec<_> = on_demand.collect();
    if says("vcpus") {
        return Ok((platform.worker(&WorkerWish::default())?, on_demand));
    }
    let mut found: Option<(String, Capabilities)> = None;
    for name in types {
        let known = of(name).map_err(|_| {
            let problem = format!("names `{name}`, whose vCPUs and price are not known here");
            let hint = "write them: `capabilities: {vcpus: {count: 8}, price: {worker_hour_usd: 0.4}}`";
            section.unusable("worker_instance_type", &problem, hint)
        })?;
        match &found {
            Some((first, before)) if (before.worker_cpus - known.worker_cpus).abs() > 1e-9 => {
                let problem = format!(
                    "names `{first}` with {} vCPUs and `{name}` with {}: all workers have as many sub-workers",
                    before.worker_cpus, known.worker_cpus
                );
                return Err(section.unusable("worker_instance_type", &problem, "name types of one size"));
            }
            Some(_) => {}
            None => found = Some((name.clone(), known)),
        }
    }
    let mut capabilities = platform.worker(&WorkerWish::default())?;
    if let Some((_, known)) = found {
        capabilities.worker_cpus = known.worker_cpus;
        capabilities.default_worker_processes = known.default_worker_processes;
        if !says("memory") {
            capabilities.worker_memory = known.worker_memory;
        }
        if !says_price(section, MACHINE) {
            capabilities.price.worker_hour_usd = known.price.worker_hour_usd;
        }
    }
    Ok((capabilities, on_demand))
}

/// The prices of an instance without its address and disks.
const MACHINE: &[&str] = &["worker_hour_usd", "vcpu_second_usd", "gb_second_usd"];

/// Whether the configuration says one of these prices.
fn says_price(section: Section<'_>, keys: &[&str]) -> bool {
    let Some(Value::Map(map)) = section.get("capabilities").map(|located| &located.value) else {
        return false;
    };
    matches!(map.get("price"), Some(Value::Map(price)) if keys.iter().any(|key| price.contains_key(*key)))
}

/// The family of a type: `c7i` of `c7i.large`.
pub(crate) fn family(instance_type: &str) -> &str {
    instance_type.split('.').next().unwrap_or_default()
}

/// The letters before the number of a family: `c` of `c7i`, which are the class that quotas are for.
pub(crate) fn class(instance_type: &str) -> &str {
    let family = family(instance_type);
    let end = family.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(family.len());
    &family[..end]
}

/// Whether workers have GPUs: an image with their drivers is taken then.
fn gpus(section: Section<'_>, types: &[String]) -> Result<bool> {
    let are_wanted = section.bool("use_gpu")?.unwrap_or(false);
    match types.iter().find(|name| !matches!(class(name), "g" | "p" | "gr")) {
        Some(other) if are_wanted => {
            let problem = format!("is true, and `{other}` has no GPU");
            Err(section.unusable(
                "use_gpu",
                &problem,
                "name types that have one: `worker_instance_type: g5.xlarge`",
            ))
        }
        _ => Ok(are_wanted),
    }
}

/// The processor of the types: its family has a `g` behind its number where it is one of Arm.
fn machine(section: Section<'_>, types: &[String]) -> Result<Machine> {
    let is_arm = |name: &String| {
        let family = family(name);
        let after = family.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        family == "a1" || after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('g')
    };
    let arm = types.iter().filter(|name| is_arm(name)).count();
    if arm != 0 && arm != types.len() {
        let hint = "name types of one kind: one program is for one processor";
        return Err(section.unusable("worker_instance_type", "mixes types of x86 and of Arm", hint));
    }
    Ok(if arm > 0 { Machine::Arm64 } else { Machine::X86_64 })
}

fn spot(section: Section<'_>) -> Result<Spot> {
    match section.get("request_spot_instances").map(|located| &located.value) {
        None | Some(Value::Bool(true)) => Ok(Spot::First),
        Some(Value::Bool(false)) => Ok(Spot::Never),
        Some(Value::String(word)) if word == "only" => Ok(Spot::Only),
        Some(_) => Err(section.unusable(
            "request_spot_instances",
            "is none of its values",
            "write `true`, `only` or `false`",
        )),
    }
}

/// The times of a worker's lease, where the data have `known`.
fn lease(section: Section<'_>, known: LeaseConfig) -> Result<LeaseConfig> {
    let mut lease = known;
    if let Some(wanted) = section.duration("lease")? {
        let LeaseConfig { patience, orphan, grace, .. } = known;
        lease = LeaseConfig { patience, orphan, grace, ..LeaseConfig::with_lease(wanted) };
    }
    // One that leaves sooner would not see the end of another's lease.
    let least = 2 * lease.lease;
    let patience = section.duration("soft_dismantle_timeout")?.unwrap_or(lease.patience);
    lease.patience = if exec_mode(section)? == "create" { least } else { patience.max(least) };
    if let Some(orphan) = section.duration("orphan")? {
        lease.orphan = orphan;
    }
    Ok(lease)
}

fn exec_mode(section: Section<'_>) -> Result<&'static str> {
    Ok(section.one_of("exec_mode", &["reuse", "create", "consume"])?.unwrap_or("reuse"))
}

fn hard_limit(section: Section<'_>) -> Result<Duration> {
    let limit = section.duration("hard_dismantle_timeout")?.unwrap_or(Duration::from_secs(12 * 3600));
    if limit < Duration::from_secs(60) {
        let problem = format!("is {limit:?}, and instances are ended by the minute");
        return Err(section.unusable("hard_dismantle_timeout", &problem, "write at least 60"));
    }
    Ok(limit)
}

fn role(section: Section<'_>) -> Result<Option<String>> {
    let key = if section.get("instance_role").is_some() { "instance_role" } else { "iam_role" };
    let Some(role) = section.string(key)? else { return Ok(None) };
    let is_name = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
        (1..=128).contains(&name.len()) && name.chars().all(fits)
    };
    let is_arn = role.starts_with("arn:aws") && role.contains(":instance-profile/");
    if !is_name(role) && !is_arn {
        let problem = format!("is `{}`, which names no instance profile", role.escape_debug());
        let hint = "write its name, or its ARN: arn:aws:iam::123456789012:instance-profile/workers";
        return Err(section.unusable(key, &problem, hint));
    }
    Ok(Some(role.to_owned()))
}

fn ami(section: Section<'_>) -> Result<Option<String>> {
    let Some(ami) = section.string("target_ami")? else { return Ok(None) };
    if !ami.starts_with("ami-") && !ami.starts_with("resolve:ssm:/") {
        let problem = format!("is `{}`, which is no image", ami.escape_debug());
        return Err(section.unusable(
            "target_ami",
            &problem,
            "write `ami-..`, or `resolve:ssm:/path/of/a/parameter`",
        ));
    }
    Ok(Some(ami.to_owned()))
}

fn tags(section: Section<'_>) -> Result<BTreeMap<String, String>> {
    let tags = section.texts("tags")?;
    match tags.keys().find(|name| name.starts_with("lithops:") || name.starts_with("aws:")) {
        Some(name) => Err(section.unusable(
            "tags",
            &format!("sets `{name}`"),
            "tags that begin so have a meaning already",
        )),
        None => Ok(tags),
    }
}

/// A word, or a list of words.
fn names(section: Section<'_>, key: &'static str) -> Result<Vec<String>> {
    let Some(located) = section.get(key) else { return Ok(Vec::new()) };
    let read = match &located.value {
        Value::List(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::String(name) => Some(vec![name.clone()]),
        _ => None,
    };
    let read = read.filter(|names: &Vec<String>| names.iter().all(|name| !name.trim().is_empty()));
    read.ok_or_else(|| section.unusable(key, "is no list of names", format!("write `{key}: [name]`")))
}

#[cfg(test)]
mod tests {
    use lithops_core::{
        config::{Environment, Sources},
        plan::{Count, Durations, PlanRequest, Workload},
    };

    use super::*;

    fn read(section: &str) -> Result<Ec2Config> {
        let yaml = Some(format!("aws_ec2:\n{section}"));
        Ec2Config::read(&Config::load(&Sources { yaml, file: None }, &Environment::new("."))?)
    }

    fn is_near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_worker_has_as_many_sub_workers_as_the_type_has_vcpus() {
        for (types, processes) in [("c7i.2xlarge", 8), ("[t3.medium, m7i.large]", 2), ("c7g.medium", 1)] {
            let config = read(&format!("  worker_instance_type: {types}\n")).expect("it is right");
            assert_eq!(config.capabilities.default_worker_processes, processes, "{types}");
        }
        let config = read("  tags: {team: x}\n").expect("it is right");
        assert_eq!((config.types.len(), config.capabilities.default_worker_processes), (4, 2));
        assert_eq!(config.machine, Machine::X86_64);
        let lease = config.capabilities.pull.expect("workers pull");
        let seconds = [lease.lease, lease.patience, lease.orphan, lease.grace].map(|time| time.as_secs());
        assert_eq!(seconds, [30, 300, 600, 80]);
        let config = read("  worker_instance_type: x9.huge\n  capabilities: {vcpus: {count: 64}}\n");
        assert_eq!(config.expect("the user says it").capabilities.default_worker_processes, 64);
        assert_eq!(read("  worker_instance_type: c7g.large\n").expect("it is right").machine, Machine::Arm64);
    }

    #[test]
    fn the_price_is_that_of_the_type_and_of_how_it_is_bought() {
        let price = |section: &str| read(section).expect("it is right").capabilities.second_usd() * 3600.0;
        assert!(is_near(price("  request_spot_instances: false\n"), 0.08925 + 0.005));
        assert!(is_near(price("  worker_instance_type: m7i.large\n"), 0.1008 * 0.4 + 0.005));
        assert!(is_near(price("  capabilities: {price: {worker_hour_usd: 2}}\n"), 2.0 + 0.005));
        assert!(is_near(price("  capabilities: {price: {minimum: 1s}}\n"), 0.08925 * 0.4 + 0.005));
        assert!(is_near(price("  capabilities: {price: {address_hour_usd: 0}}\n"), 0.08925 * 0.4));
        assert!(is_near(price("  root_disk: 730\n  spot_share: 0.5\n"), 0.08925 * 0.5 + 0.005 + 0.08));
        let said = "  root_disk: 730\n  capabilities: {price: {disk_hour_usd: 0.01}}\n";
        assert!(is_near(price(said), 0.08925 * 0.4 + 0.005 + 0.01));
    }

    /// By hand: ten instances for as long as the plan says, what each costs, and the requests of their chunks.
    #[test]
    fn a_plan_shows_what_spot_instances_addresses_disks_and_chunks_cost() {
        let explained = |section: &str| {
            let config = read(section).expect("it is right");
            let workload = Workload::given(Durations::fixed(60.0).expect("a number"));
            let request = PlanRequest {
                chunksize: Some(Count::Exactly(2)),
                max_workers: Some(10),
                workload: Some(&workload),
                ..PlanRequest::new(400, &config.capabilities)
            };
            let plan = request.plan().expect("a plan");
            let prediction = *plan.prediction().expect("it is predicted");
            (prediction, plan.explain().join("\n"))
        };
        let (spot, words) = explained("  root_disk: 730\n");
        let (usd, seconds) = (spot.usd, spot.billed.as_secs_f64());
        let hour = 0.08925 * 0.4 + 0.005 + 0.08;
        assert!((usd - seconds / 3600.0 * hour - 200.0 * 1.6e-5).abs() < 1e-6, "{usd} {seconds}");
        for part in [
            "($0.0892 an hour less 60 %",
            "$0.0050 for its address",
            "$0.0800 for its disks)",
            "200 chunks in the storage",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        let (on_demand, words) = explained("  request_spot_instances: false\n");
        assert!(on_demand.makespan < spot.makespan, "what is taken away is run again");
        assert!(!words.contains("less") && !words.contains("disks"), "{words}");
    }

    #[test]
    fn workers_with_gpus_have_an_image_with_their_drivers() {
        let config = read("  use_gpu: true\n  worker_instance_type: g5.xlarge\n").expect("it is right");
        assert!(
            config.image().ends_with("x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id")
        );
        assert!(
            read("  worker_instance_type: g5.xlarge\n").expect("it is right").image().contains("al2023-ami")
        );
        for (name, wanted) in
            [("c7i.large", "c"), ("g4dn.xlarge", "g"), ("inf2.xlarge", "inf"), ("p5.48xlarge", "p")]
        {
            assert_eq!(class(name), wanted);
        }
    }

    #[test]
    fn modes_and_times() {
        let lease =
            |section: &str| read(section).expect("it is right").capabilities.pull.expect("workers pull");
        assert_eq!(lease("  exec_mode: create\n").patience, Duration::from_secs(60));
        assert_eq!(lease("  soft_dismantle_timeout: 10\n").patience, Duration::from_secs(60), "two leases");
        assert_eq!(lease("  orphan: 5\n").orphan, Duration::from_secs(5));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (section, wanted) in [
            ("  auto_dismantle: false\n", "nothing else would end"),
            ("  worker_instance_type: x9.huge\n", "capabilities: {vcpus"),
            ("  worker_instance_type: [c7i.large, c7i.xlarge]\n", "`c7i.xlarge` with 4"),
            ("  worker_instance_type: [c7i.large, c7g.large]\n", "of x86 and of Arm"),
            ("  worker_instance_type: [1]\n", "no list of names"),
            ("  request_spot_instances: sometimes\n", "`only`"),
            ("  use_gpu: true\n", "g5.xlarge"),
            ("  spot_share: 2\n", "0 to 1"),
            ("  hard_dismantle_timeout: 30\n", "at least 60"),
            ("  instance_role: 'a b'\n", "instance profile"),
            ("  instance_role: 'arn:aws:iam::1:role/x'\n", "instance-profile/"),
            ("  target_ami: ubuntu\n", "`ami-..`"),
            ("  tags: {lithops:fleet: x}\n", "have a meaning"),
        ] {
            let error = read(section).expect_err(section);
            assert!(
                error.to_string().contains(wanted) || error.hint().is_some_and(|hint| hint.contains(wanted)),
                "{section}: {error}"
            );
        }
    }
}
