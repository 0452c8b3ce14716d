//! [`Workload`]: what is measured, in which unit, and how much of it.

use std::time::Duration;

/// One workload. `docs/benchmarks.md` says what is timed.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// How many calls, or how much else, lithops is given; peers are given no more.
    pub(super) count: u64,
    /// How many a peer is given first; equal to `count` where there is nothing to scale.
    pub(super) first: u64,
    pub(super) runs: usize,
    pub(super) more_is_better: bool,
    /// The figure to reach.
    pub(super) goal: &'static str,
    /// Whether peers are measured with it.
    pub(super) has_peers: bool,
}

impl Workload {
    /// Whether it reads a folder of text.
    pub(super) fn reads_text(name: &str) -> bool {
        matches!(name, "wordcount" | "partitioner")
    }
}

/// A peer gets as many calls as it manages in this time, its own start included.
pub(super) const FITS: Duration = Duration::from_secs(15);
/// A run that takes longer is taken for hanging.
pub(super) const HANGS: Duration = Duration::from_secs(120);

const BASE: Workload = Workload {
    name: "",
    unit: "ms",
    count: 1,
    first: 1,
    runs: 5,
    more_is_better: false,
    goal: "",
    has_peers: true,
};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload { name: "echo", unit: "us", has_peers: false, goal: "what two hops cost bare", ..BASE },
    Workload { name: "seed", count: 200, first: 20, runs: 7, goal: "<= 30 and below every peer", ..BASE },
    Workload { name: "start", runs: 7, goal: "below every peer", ..BASE },
    Workload {
        name: "noop",
        unit: "calls/s",
        count: 1_000_000,
        first: 20,
        more_is_better: true,
        goal: ">= 4 M and 1.2 times Pool",
        ..BASE
    },
    Workload {
        name: "latency",
        unit: "us",
        count: 2_000,
        first: 10,
        goal: "<= 2.2 echoes and below every peer",
        ..BASE
    },
    Workload {
        name: "bytes",
        unit: "MiB/s",
        count: 200,
        first: 10,
        more_is_better: true,
        goal: ">= 4 times the best peer",
        ..BASE
    },
    Workload {
        name: "cpu",
        unit: "of two bare CPUs",
        count: 64,
        first: 8,
        runs: 3,
        more_is_better: true,
        goal: ">= 0.98",
        ..BASE
    },
    Workload {
        name: "skew",
        unit: "of a list schedule",
        count: 2_000,
        first: 50,
        runs: 3,
        goal: "<= 1.05",
        ..BASE
    },
    Workload {
        name: "wordcount",
        unit: "of bare threads",
        count: 512,
        first: 512,
        runs: 3,
        more_is_better: true,
        goal: ">= 0.95",
        has_peers: false,
    },
    Workload {
        name: "partitioner",
        unit: "of bare reading",
        count: 512,
        first: 512,
        runs: 3,
        more_is_better: true,
        goal: ">= 0.9",
        has_peers: false,
    },
    Workload {
        name: "storage",
        unit: "of the storage alone",
        count: 64,
        runs: 3,
        more_is_better: true,
        goal: "objects_per_chunk <= 1",
        has_peers: false,
        ..BASE
    },
    Workload {
        name: "growth",
        unit: "s for the most calls",
        count: 10_000_000,
        runs: 1,
        goal: "straight",
        has_peers: false,
        ..BASE
    },
    Workload {
        name: "sub_workers",
        unit: "of sleeping",
        count: 64,
        runs: 1,
        goal: "<= 1.2",
        has_peers: false,
        ..BASE
    },
    Workload {
        name: "jobs_at_once",
        unit: "ms a job",
        count: 1_000,
        runs: 1,
        goal: "no more than for one",
        has_peers: false,
        ..BASE
    },
    Workload {
        name: "jobs_in_turn",
        unit: "ms a job",
        count: 1_000,
        runs: 1,
        goal: "no growth",
        has_peers: false,
        ..BASE
    },
    Workload {
        name: "memory",
        unit: "MB",
        count: 1_000_000,
        first: 20,
        runs: 3,
        goal: "<= 64 beyond the results",
        ..BASE
    },
    Workload { name: "kill", runs: 3, goal: "<= 200", ..BASE },
];
