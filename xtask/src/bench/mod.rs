//! `cargo xtask bench`: measurements of this machine, as JSON lines and a table; `docs/benchmarks.md` is the method.

mod command;
mod comparison;
mod faas;
mod lambda;
mod summary;
mod system;
mod text;
mod workload;

pub(crate) use command::{What, run};
