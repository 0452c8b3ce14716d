//! `cargo xtask e2e aws_lambda`: the backend against ministack, which runs functions as real processes.

mod emulator;
mod permissions;
mod programs;
mod run;

pub(super) use programs::config;
pub(super) use run::run;
