//! `cargo xtask e2e k8s`: the backend on a real cluster in a network namespace of this machine.

mod bars;
mod faults;
mod fed;
mod jobs;
mod long;
mod refusals;
mod run;

pub(super) use run::run;
