//! The sub-worker: it runs one call at a time, and ends with its worker.

mod call;
mod channel;
mod identity;
mod log_marks;
mod panics;
mod reporter;
mod run_delay;
mod serve;

pub(crate) use serve::run;
