//! `cargo xtask e2e storage`: the storages against real servers, which are put under `target/`, listen on loopback and
//! end with the run.

mod parts;
mod run;
mod server;
mod trials;

pub(super) use run::run;
