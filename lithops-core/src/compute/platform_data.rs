//! The content of a platform's data file, as it is read: shapes, defaults, and which values are refused.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, de};

use super::{CancelLevel, Granularity, Liveness, Reports};
use crate::{
    board::LeaseConfig,
    config::{Value, duration},
    error::{Error, ErrorKind, Result},
};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    pub(super) platform: String,
    pub(super) date: String,
    pub(super) sources: Vec<String>,
    pub(super) granularity: Granularity,
    pub(super) memory: Option<Bounds>,
    #[serde(deserialize_with = "vcpus")]
    pub(super) vcpus: Vcpus,
    #[serde(default)]
    pub(super) memory_of_vcpu: Vec<MemoryOfVcpu>,
    pub(super) worker_processes: Processes,
    pub(super) workers: Workers,
    pub(super) payload_limit: Option<u64>,
    pub(super) timeout: Option<Timeout>,
    pub(super) feed: bool,
    pub(super) pull: Option<Pull>,
    #[serde(deserialize_with = "reports")]
    pub(super) reports: Reports,
    #[serde(deserialize_with = "liveness")]
    pub(super) liveness: Liveness,
    pub(super) cancel: CancelLevel,
    #[serde(default)]
    pub(super) storages: Vec<String>,
    #[serde(default)]
    pub(super) runtimes: bool,
    pub(super) startup: Start,
    pub(super) call_overhead: Span,
    pub(super) price: Prices,
    pub(super) spot: Option<Interrupted>,
    #[serde(default)]
    pub(super) variants: BTreeMap<String, Value>,
}

/// The memory of a worker that can be chosen, in MiB.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds {
    pub(super) default: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// The memory, in MiB, that a worker with this number of vCPUs can have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryOfVcpu {
    pub(super) vcpus: f64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// The lease configuration of a fleet. What is left out is as by default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pull {
    pub(super) lease: Option<Span>,
    pub(super) beat: Option<Span>,
    pub(super) look: Option<Span>,
    pub(super) patience: Option<Span>,
    pub(super) orphan: Option<Span>,
    pub(super) grace: Option<Span>,
}

impl Pull {
    pub(super) fn lease_config(&self) -> LeaseConfig {
        let with_lease =
            self.lease.map_or_else(LeaseConfig::default, |lease| LeaseConfig::with_lease(lease.0));
        let or = |span: &Option<Span>, default: Duration| span.map_or(default, |span| span.0);
        LeaseConfig {
            beat: or(&self.beat, with_lease.beat),
            look: or(&self.look, with_lease.look),
            patience: or(&self.patience, with_lease.patience),
            orphan: or(&self.orphan, with_lease.orphan),
            grace: or(&self.grace, with_lease.grace),
            ..with_lease
        }
    }
}

/// Workers that the platform may take away, for a lower price.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interrupted {
    pub(super) discount: f64,
    pub(super) interrupted_per_hour: f64,
}

/// What decides how many vCPUs a worker has.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Vcpus {
    /// The vCPUs come with the memory: this many MB for each.
    MbPerVcpu(f64),
    /// Every worker has this many.
    Count(f64),
    /// The vCPUs are those of the machine.
    Machine,
    /// The number is chosen, within these bounds.
    Chosen { default: f64, min: f64, max: f64 },
    /// The number is chosen, one of these.
    Steps { default: f64, steps: Vec<f64> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VcpusRead {
    mb_per_vcpu: Option<f64>,
    count: Option<f64>,
    machine: Option<bool>,
    default: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    steps: Option<Vec<f64>>,
}

fn vcpus<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vcpus, D::Error> {
    let read = VcpusRead::deserialize(deserializer)?;
    let chosen = (read.default, read.min, read.max);
    if let Some(steps) = read.steps {
        return match (read.mb_per_vcpu, read.count, read.machine, chosen) {
            (None, None, None, (Some(default), None, None)) => Ok(Vcpus::Steps { default, steps }),
            _ => Err(de::Error::custom(VCPUS)),
        };
    }
    match (read.mb_per_vcpu, read.count, read.machine, chosen) {
        (Some(mb), None, None, (None, None, None)) => Ok(Vcpus::MbPerVcpu(mb)),
        (None, Some(count), None, (None, None, None)) => Ok(Vcpus::Count(count)),
        (None, None, Some(true), (None, None, None)) => Ok(Vcpus::Machine),
        (None, None, None, (Some(default), Some(min), Some(max))) => Ok(Vcpus::Chosen { default, min, max }),
        _ => Err(de::Error::custom(VCPUS)),
    }
}

/// The forms of `vcpus`.
const VCPUS: &str = "`vcpus` is one of {mb_per_vcpu: MB}, {count: N}, {machine: true}, {default: N, min: N, max: N} and \
                     {default: N, steps: [N, N]}";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Processes {
    pub(super) default: Option<usize>,
    pub(super) max: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workers {
    pub(super) default: usize,
    pub(super) max: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeout {
    pub(super) default: Span,
    pub(super) limit: Span,
}

fn reports<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Reports, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(word) if word == "streamed" => Ok(Reports::Streamed),
        Value::String(word) if word == "buffered" => Ok(Reports::Buffered),
        _ => Err(de::Error::custom(
            "`reports` is `streamed` or `buffered`; outcomes come through the storage alone where workers are a \
             fleet (`pull`)",
        )),
    }
}

fn liveness<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Liveness, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(word) if word == "platform" => Ok(Liveness::Platform),
        Value::String(word) if word == "response" => Ok(Liveness::ResponseOnly),
        _ => Err(de::Error::custom("`liveness` is `platform` or `response`")),
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) cold: Span,
    pub(super) warm: Span,
    pub(super) sub_worker: Span,
    pub(super) per_second: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct Prices {
    pub(super) request_usd: f64,
    pub(super) gb_second_usd: f64,
    pub(super) vcpu_second_usd: f64,
    pub(super) worker_hour_usd: f64,
    pub(super) address_hour_usd: f64,
    pub(super) disk_hour_usd: f64,
    pub(super) chunk_usd: f64,
    pub(super) increment: Span,
    pub(super) minimum: Span,
    pub(super) bills_startup: bool,
}

/// A duration above zero, written with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        duration::read(&value).map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "{value} is no duration above zero: write for example 20us, 250ms or 3s"
            ))
        })
    }
}

impl Data {
    /// Refuses values that no platform can have.
    pub(super) fn check(&self, source: &str) -> Result<()> {
        let refuse = |key: &str, found: String, wanted: &str| {
            Err(Error::new(ErrorKind::ConfigInvalid, format!("`{key}` in {source} is {found}"))
                .with_hint(format!("write {wanted}")))
        };
        let price = &self.price;
        for (key, usd) in [
            ("price.request_usd", price.request_usd),
            ("price.gb_second_usd", price.gb_second_usd),
            ("price.vcpu_second_usd", price.vcpu_second_usd),
            ("price.worker_hour_usd", price.worker_hour_usd),
            ("price.address_hour_usd", price.address_hour_usd),
            ("price.disk_hour_usd", price.disk_hour_usd),
            ("price.chunk_usd", price.chunk_usd),
        ] {
            if !(0.0..=1e6).contains(&usd) {
                return refuse(key, usd.to_string(), "US dollars from 0 up");
            }
        }
        for (key, count) in [
            ("worker_processes.default", self.worker_processes.default.unwrap_or(1)),
            ("worker_processes.max", self.worker_processes.max),
            ("workers.default", self.workers.default),
            ("workers.max", self.workers.max),
        ] {
            if count == 0 {
                return refuse(key, "0".into(), "a whole number from 1 up");
            }
        }
        for (key, default, max) in [
            (
                "worker_processes.default",
                self.worker_processes.default.unwrap_or(1),
                self.worker_processes.max,
            ),
            ("workers.default", self.workers.default, self.workers.max),
        ] {
            if default > max {
                return refuse(key, default.to_string(), &format!("at most {max}, which is the maximum"));
            }
        }
        if let Some(Bounds { default, min, max }) = &self.memory
            && !(*min >= 1 && min <= default && default <= max)
        {
            return refuse(
                "memory.default",
                default.to_string(),
                "a number between `memory.min` and `memory.max`",
            );
        }
        match &self.vcpus {
            Vcpus::MbPerVcpu(number) if *number < 1.0 || self.memory.is_none() => {
                refuse("vcpus.mb_per_vcpu", number.to_string(), "MB of memory, and describe `memory`")
            }
            Vcpus::Count(number) if !(0.001..=1e4).contains(number) => {
                refuse("vcpus.count", number.to_string(), "a number of vCPUs above 0")
            }
            Vcpus::Chosen { default, min, max } if !(0.001 <= *min && min <= default && default <= max) => {
                refuse("vcpus.default", default.to_string(), "a number between `vcpus.min` and `vcpus.max`")
            }
            Vcpus::Steps { default, steps }
                if !steps.contains(default) || steps.iter().any(|step| *step < 0.001) =>
            {
                refuse("vcpus.default", default.to_string(), "one of `vcpus.steps`, which are above 0")
            }
            _ => Ok(()),
        }?;
        for MemoryOfVcpu { vcpus, min, max } in &self.memory_of_vcpu {
            if self.memory.is_none() || *min < 1 || min > max {
                let found = format!("{min} to {max} for {vcpus} vCPUs");
                return refuse("memory_of_vcpu", found, "MiB from `min` up to `max`, and describe `memory`");
            }
        }
        if let Some(pull) = &self.pull {
            let LeaseConfig { lease, beat, patience, .. } = pull.lease_config();
            if self.feed {
                return refuse(
                    "feed",
                    "true".into(),
                    "false, or leave out `pull`: nothing is fed to workers that pull",
                );
            }
            if beat > lease / 2 {
                return refuse(
                    "pull.beat",
                    format!("{beat:?}"),
                    &format!("at most half of the lease of {lease:?}"),
                );
            }
            if patience < lease {
                return refuse(
                    "pull.patience",
                    format!("{patience:?}"),
                    &format!("at least the lease of {lease:?}"),
                );
            }
        }
        if let Some(Interrupted { discount, interrupted_per_hour }) = self.spot {
            if !(0.0..1.0).contains(&discount) {
                return refuse(
                    "spot.discount",
                    discount.to_string(),
                    "the part of the price that is saved: 0.6 for 60 %",
                );
            }
            if !(0.0..=3600.0).contains(&interrupted_per_hour) {
                return refuse(
                    "spot.interrupted_per_hour",
                    interrupted_per_hour.to_string(),
                    "interruptions of a worker in an hour",
                );
            }
        }
        if self.startup.per_second.is_some_and(|rate| rate <= 0.0) {
            return refuse(
                "startup.per_second",
                "not above 0".into(),
                "workers started in a second, or leave it out",
            );
        }
        Ok(())
    }
}
