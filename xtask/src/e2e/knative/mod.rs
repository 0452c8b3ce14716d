//! `cargo xtask e2e knative`: the backend on Knative's own engine, on a real cluster in a network namespace of this machine.

mod faults;
mod jobs;
mod pods;
mod rate;
mod run;

pub(crate) use rate::measure;
pub(super) use run::run;
