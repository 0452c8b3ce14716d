//! `cargo xtask e2e storage`: the storages against real servers, which are put under `target/`, listen on loopback and
//! end with the run.

mod run;
mod trials;

pub(super) use run::run;
pub(super) use trials::words;
