//! The sub-worker: a process that runs one call at a time, and ends with its worker.

mod call;
mod channel;
mod identity;
mod log_marks;
mod panics;
mod reporter;
mod run_delay;
mod serve;

pub(crate) use serve::run;
