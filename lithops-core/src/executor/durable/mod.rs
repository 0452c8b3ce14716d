//! Durable jobs, which outlive their client: how they are stored and started, which client leads them, how a
//! fleet is driven, and how their remains are found and removed.

pub(super) mod cleaning;
pub(super) mod deferred_reduce;
pub(super) mod durable_job;
pub(super) mod fleet_driver;
pub(super) mod leadership;
pub(super) mod start;
pub(super) mod stored_jobs;
pub(super) mod unused;

pub use cleaning::{Cleaning, Expired, Unfinished};
pub use durable_job::{JobResources, Leadership};
pub use leadership::only_reads;
pub use stored_jobs::{Listing, StoredJob, StoredJobs};
pub use unused::{Unused, UnusedKind};

#[cfg(test)]
mod scaling_tests;
#[cfg(test)]
mod storage_failure_tests;
