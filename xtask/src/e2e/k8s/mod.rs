//! `cargo xtask e2e k8s`: the backend on a real cluster in a network namespace of this machine.

mod bars;
mod churn;
mod disks;
mod faults;
mod feeding;
mod jobs;
mod memory;
mod rate;
mod refusals;
mod run;
mod thousand;
mod watches;
mod workers;

pub(crate) use rate::measure;
pub(super) use run::run;
