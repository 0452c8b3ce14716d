//! [`Platform`]: the data file of a platform: its capabilities, limits and prices, with date and source.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Capabilities, Granularity, Price, Spot, Startup,
    platform_data::{Data, MemoryOfVcpu, Pull, Vcpus},
};
use crate::{
    config::{
        Located, Section, Value,
        yaml::{self, YamlError},
    },
    error::{Error, ErrorKind, Result},
};

/// The capabilities, limits and prices of a platform, read from a data file.
///
/// Each backend crate has such a file, `capabilities.yaml`; `lithops plan --capabilities FILE` plans for any
/// platform that is described in the same form. Durations are written `20us`, `250ms`, `3s`; memory is in
/// MiB; prices are US dollars.
///
/// ```yaml
/// platform: my_containers          # its name
/// date: 2026-11-23                 # when this was looked up, and where
/// sources: [https://example.com/pricing]
/// granularity: caas                # faas: 1 sub-worker; caas, vm: its CPUs; local
/// memory: {default: 2048, min: 512, max: 32768}      # where memory is chosen
/// vcpus: {default: 4, steps: [1, 2, 4, 8]}           # or {default: 4, min: 1, max: 8}, {mb_per_vcpu: 1769}, {count: 8}, {machine: true}
/// memory_of_vcpu:                  # where not every memory is sold with every number of vCPUs
///   - {vcpus: 4, min: 2048, max: 16384}
/// worker_processes: {default: 4, max: 256}           # by default as the granularity says
/// workers: {default: 100, max: 1000}                 # at once
/// payload_limit: 33554432          # bytes of one hand-over; no limit when left out
/// timeout: {default: 300s, limit: 3600s}
/// feed: false                      # whether a live worker can be given more
/// pull:                            # where workers are a fleet; {} has the default times
///   {lease: 30s, beat: 7500ms, look: 1s, patience: 300s, orphan: 600s, grace: 25s}
/// reports: buffered                # streamed, buffered
/// liveness: response               # platform, response
/// cancel: activation               # none, activation, call
/// storages: [aws_s3]               # those that workers can open; all of them when left out
/// runtimes: true                   # whether workers start only where a runtime was deployed; else left out
/// startup: {cold: 2s, warm: 20ms, sub_worker: 3ms, per_second: 50}
/// call_overhead: 30us
/// price:                           # any of these; {} is free
///   request_usd: 4.0e-7
///   gb_second_usd: 2.5e-6
///   vcpu_second_usd: 2.4e-5
///   worker_hour_usd: 0.05
///   address_hour_usd: 0.005        # of the public address that each worker has
///   disk_hour_usd: 0.002           # of its disks
///   chunk_usd: 1.1e-5              # requests to the storage for each chunk of a fleet
///   increment: 100ms               # what is begun is paid for
///   minimum: 1s
///   bills_startup: false
/// spot: {discount: 0.6, interrupted_per_hour: 0.05}  # workers that the platform may take away
/// variants:                        # parts of the above, chosen by name
///   big: {vcpus: {default: 8}}
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Platform {
    data: Data,
    /// The data as they were read, for variants and overrides that change a part of them.
    value: Value,
    source: String,
}

/// What a job asks of a worker; `None` means the platform's default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkerWish {
    /// `runtime_memory`, in MiB.
    pub memory: Option<u64>,
    /// `runtime_cpu`, in vCPUs.
    pub vcpus: Option<f64>,
    /// `runtime_timeout`: how long an activation may run.
    pub timeout: Option<std::time::Duration>,
    /// One of the platform's variants, such as an architecture or a type of instance.
    pub variant: Option<String>,
    /// The number of CPUs of this machine, for a platform that is this machine.
    pub machine: usize,
}

impl WorkerWish {
    /// Reads memory, CPUs and timeout from a section of the configuration.
    ///
    /// # Errors
    /// When a value has the wrong type.
    pub fn read(section: Section<'_>) -> Result<Self> {
        Ok(Self {
            memory: section.positive("runtime_memory")?.map(|memory| memory as u64),
            vcpus: section.number("runtime_cpu")?,
            timeout: section.duration("runtime_timeout")?,
            variant: None,
            machine: 0,
        })
    }
}

impl Platform {
    /// Reads the data of a platform; `source` names the file in errors.
    ///
    /// # Errors
    /// `ConfigInvalid` that names source, line and key, and says what to write instead.
    pub fn parse(text: &str, source: &str) -> Result<Self> {
        let refuse = |error: YamlError| {
            let place = error.place.map_or(source.to_owned(), |place| format!("{source}:{}", place.line));
            Error::new(ErrorKind::ConfigInvalid, format!("{place} does not describe a platform: {error}"))
                .with_hint("the form is described in the documentation of `Platform`, and by `capabilities.yaml` of each backend")
        };
        let node = yaml::read(text).map_err(refuse)?;
        let data = Data::deserialize(&node).map_err(refuse)?;
        let value = Value::from(node);
        data.check(source)?;
        let platform = Self { data, value, source: source.to_owned() };
        platform.data.variants.keys().try_for_each(|name| platform.variant(name).map(drop))?;
        Ok(platform)
    }

    /// This platform with the key `capabilities` of a section laid over its data; unchanged where the key is
    /// absent.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), naming the section.
    pub fn overridden_by(&self, section: Section<'_>) -> Result<Self> {
        let Some(Located { value, origin }) = section.get("capabilities") else { return Ok(self.clone()) };
        let source = format!("`capabilities` in section `{}` {}", section.name(), origin.phrase());
        self.with(value, &source)
    }

    /// The platform's name, as messages show it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.data.platform
    }

    /// When the data were looked up.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.data.date
    }

    /// Where the data were looked up.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.data.sources
    }

    /// The capabilities of workers of this kind, with their price.
    ///
    /// # Errors
    /// `InvalidInput` that names the key and says what to write instead.
    pub fn worker(&self, wish: &WorkerWish) -> Result<Capabilities> {
        let chosen;
        let platform = match &wish.variant {
            Some(name) => {
                chosen = self.variant(name)?;
                &chosen
            }
            None => self,
        };
        platform.capabilities(wish)
    }

    fn capabilities(&self, wish: &WorkerWish) -> Result<Capabilities> {
        let data = &self.data;
        let mut worker_memory = self.memory(wish.memory)?;
        let worker_cpus = self.vcpus(wish, worker_memory)?;
        if let Some(MemoryOfVcpu { min, max, .. }) =
            self.memory_of(worker_cpus).filter(|_| wish.memory.is_none())
        {
            // The platform's default is not sold with every number of vCPUs.
            worker_memory = worker_memory.clamp(*min, *max);
        }
        self.fits_together(worker_memory, worker_cpus)?;
        let whole = (worker_cpus as usize).max(1);
        let default_worker_processes = match (data.worker_processes.default, data.granularity) {
            (Some(default), _) => default,
            (None, Granularity::Faas) => 1,
            (None, _) => whole.min(data.worker_processes.max),
        };
        let timeout_limit = match (wish.timeout, &data.timeout) {
            (Some(wished), Some(timeout)) if wished > timeout.limit.0 => {
                let problem = format!(
                    "`runtime_timeout` is {wished:?}, and a worker of {} may run for {:?} at most",
                    self.name(),
                    timeout.limit.0
                );
                let hint = format!("write at most {}", timeout.limit.0.as_secs());
                return Err(wrong("runtime_timeout", problem, hint));
            }
            (wished, Some(timeout)) => Some(wished.unwrap_or(timeout.default.0)),
            (wished, None) => wished,
        };
        let price = &data.price;
        Ok(Capabilities {
            granularity: data.granularity,
            worker_cpus,
            worker_memory,
            default_worker_processes,
            max_worker_processes: data.worker_processes.max,
            default_max_workers: data.workers.default,
            max_workers: data.workers.max,
            payload_limit: data.payload_limit,
            timeout_limit,
            feed: data.feed,
            pull: data.pull.as_ref().map(Pull::lease_config),
            reports: data.reports,
            liveness: data.liveness,
            cancel: data.cancel,
            storages: data.storages.clone(),
            runtimes: data.runtimes,
            startup: Startup {
                cold: data.startup.cold.0,
                warm: data.startup.warm.0,
                sub_worker: data.startup.sub_worker.0,
                per_second: data.startup.per_second,
            },
            call_overhead: data.call_overhead.0,
            price: Price {
                request_usd: price.request_usd,
                gb_second_usd: price.gb_second_usd,
                vcpu_second_usd: price.vcpu_second_usd,
                worker_hour_usd: price.worker_hour_usd,
                address_hour_usd: price.address_hour_usd,
                disk_hour_usd: price.disk_hour_usd,
                chunk_usd: price.chunk_usd,
                increment: price.increment.0,
                minimum: price.minimum.0,
                bills_startup: price.bills_startup,
            },
            spot: data.spot.as_ref().map(|spot| Spot {
                discount: spot.discount,
                interrupted_per_hour: spot.interrupted_per_hour,
            }),
        })
    }

    fn memory(&self, wished: Option<u64>) -> Result<u64> {
        let Some(bounds) = &self.data.memory else { return Ok(wished.unwrap_or(0)) };
        let memory = wished.unwrap_or(bounds.default);
        if (bounds.min..=bounds.max).contains(&memory) {
            return Ok(memory);
        }
        let problem = format!("`runtime_memory` is {memory} MB, which {} does not sell", self.name());
        let hint = format!("write a whole number from {} to {}", bounds.min, bounds.max);
        Err(wrong("runtime_memory", problem, hint))
    }

    fn vcpus(&self, wish: &WorkerWish, memory: u64) -> Result<f64> {
        let bought = |vcpus: f64| match wish.vcpus {
            Some(wished) if (wished - vcpus).abs() > 1e-9 => {
                let problem = format!("`runtime_cpu` cannot be chosen on {}", self.name());
                Err(wrong("runtime_cpu", problem, "leave it out"))
            }
            _ => Ok(vcpus),
        };
        match &self.data.vcpus {
            Vcpus::MbPerVcpu(mb) => bought(memory as f64 / mb),
            Vcpus::Count(count) => bought(*count),
            Vcpus::Machine => bought(wish.machine.max(1) as f64),
            Vcpus::Chosen { default, min, max } => {
                let vcpus = wish.vcpus.unwrap_or(*default);
                if (*min..=*max).contains(&vcpus) {
                    return Ok(vcpus);
                }
                let problem = format!("`runtime_cpu` is {vcpus}, which {} does not sell", self.name());
                Err(wrong("runtime_cpu", problem, format!("write a number from {min} to {max}")))
            }
            Vcpus::Steps { default, steps } => {
                let vcpus = wish.vcpus.unwrap_or(*default);
                if steps.iter().any(|step| (step - vcpus).abs() < 1e-9) {
                    return Ok(vcpus);
                }
                let problem = format!("`runtime_cpu` is {vcpus}, which {} does not sell", self.name());
                let steps: Vec<_> = steps.iter().map(f64::to_string).collect();
                Err(wrong("runtime_cpu", problem, format!("write one of {}", steps.join(", "))))
            }
        }
    }

    /// The memory that is sold with this number of vCPUs, where it is not every one.
    fn memory_of(&self, vcpus: f64) -> Option<&MemoryOfVcpu> {
        self.data.memory_of_vcpu.iter().find(|of| (of.vcpus - vcpus).abs() < 1e-9)
    }

    /// Refuses a memory that is not sold with this number of vCPUs.
    fn fits_together(&self, memory: u64, vcpus: f64) -> Result<()> {
        match self.memory_of(vcpus) {
            Some(MemoryOfVcpu { min, max, .. }) if !(*min..=*max).contains(&memory) => {
                let problem = format!(
                    "{} does not sell {memory} MB (`runtime_memory`) with {vcpus} vCPUs",
                    self.name()
                );
                Err(wrong("runtime_memory", problem, format!("write a whole number from {min} to {max}")))
            }
            _ => Ok(()),
        }
    }

    fn variant(&self, name: &str) -> Result<Self> {
        let Some(part) = self.data.variants.get(name) else {
            let names: Vec<_> = self.data.variants.keys().map(|name| format!("`{name}`")).collect();
            let hint = match names.is_empty() {
                true => format!("{} has no variants", self.name()),
                false => format!("{} has {}", self.name(), names.join(", ")),
            };
            return Err(wrong("variant", format!("unknown variant `{name}` of {}", self.name()), hint));
        };
        self.with(part, &format!("variant `{name}` in {}", self.source))
    }

    /// This platform with the data of `part` laid over its own.
    fn with(&self, part: &Value, source: &str) -> Result<Self> {
        refuse_not_finite(part, "", source)?;
        let mut value = self.value.clone();
        lay_over(&mut value, part);
        let refuse = |words: String| {
            Error::new(ErrorKind::ConfigInvalid, format!("{source} does not describe a platform: {words}"))
                .with_hint("its keys are those of the backend's `capabilities.yaml`")
        };
        let json = serde_json::to_value(&value).map_err(|error| refuse(error.to_string()))?;
        let data = Data::deserialize(json).map_err(|error| refuse(error.to_string()))?;
        data.check(source)?;
        Ok(Self { data, value, source: source.to_owned() })
    }
}

fn wrong(key: &'static str, problem: String, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, problem).with_hint(hint.into()).with_context("key", key)
}

/// Lays mappings over mappings; any other value replaces the value below. The forms of `vcpus` exclude each
/// other: another form replaces the whole mapping.
fn lay_over(below: &mut Value, above: &Value) {
    let (Value::Map(below), Value::Map(above)) = (&mut *below, above) else {
        *below = above.clone();
        return;
    };
    for (key, above) in above {
        let kind = |value: &Value| match value {
            Value::Map(map) => {
                ["mb_per_vcpu", "count", "machine", "steps"].into_iter().find(|kind| map.contains_key(*kind))
            }
            _ => None,
        };
        // Another default of a number that is chosen among steps leaves the steps.
        let is_default = |value: &Value| matches!(value, Value::Map(map) if map.keys().eq(["default"]));
        let fits =
            |below: &Value| kind(below) == kind(above) || (kind(below) == Some("steps") && is_default(above));
        match below.get_mut(key) {
            Some(below) if key != "vcpus" || fits(below) => lay_over(below, above),
            _ => {
                below.insert(key.clone(), above.clone());
            }
        }
    }
}

/// Refuses infinities and NaN: JSON would turn them into null.
fn refuse_not_finite(value: &Value, path: &str, source: &str) -> Result<()> {
    let below = |map: &BTreeMap<String, Value>| {
        map.iter().try_for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            refuse_not_finite(value, &path, source)
        })
    };
    match value {
        Value::Map(map) => below(map),
        Value::Float(number) if !number.is_finite() => {
            let problem = format!("`{path}` in {source} is {value}, which is not a number");
            Err(Error::new(ErrorKind::ConfigInvalid, problem).with_hint("write a number from 0 up"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "platform_tests.rs"]
mod tests;
