//! The `pull` transport: the worker is one of a fleet and finds its jobs itself.
//!
//! ```text
//!               the manifest of a job it is not done with
//!   polling -----------------------------------------------> at a job (`job_session.rs`): its board says what to run
//!    |  ^                                                      |
//!    |  +------------------------------------------------------+ finished, removed, or idle here and wanted elsewhere
//!    v
//!   gone: no job for too long, or its launcher is gone
//! ```
//!
//! A thread of its own watches for the launcher's end too (`lifeline.rs`), in case the serving thread is stuck.
//!
//! The pool is the same as under every transport. Here the transport itself is the pool's client.

mod chunk_run;
mod inputs;
mod job_session;
mod lifeline;
mod poll_jobs;
mod serve;
mod to_pool;

pub(super) use lifeline::Lifeline;
pub(super) use serve::pull;
