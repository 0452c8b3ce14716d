//! The `pull` transport: the worker is one of a fleet and finds its jobs itself.
//!
//! ```text
//!               the manifest of a job it is not done with
//!   polling -----------------------------------------------> at a job (`job_session.rs`): its board says what to run
//!    |  ^                                                      |
//!    |  +------------------------------------------------------+ finished, removed, or idle here and wanted elsewhere
//!    v
//!   gone: no job for too long, told to leave, or its client has closed the fleet or is gone
//! ```
//!
//! A worker is started in one of two ways. A launcher on the same machine sends the launch document over a socket, and
//! the worker ends with its launcher (`lifeline.rs`; a thread of its own watches for that too, in case the serving thread
//! is stuck). Or the worker is started with nothing but the document (`launched.rs`), on any machine. It then looks
//! whether the client lives (`client_watch.rs`), and leaves at a `SIGTERM` (`leave.rs`).
//!
//! The pool is the same as under every transport. Here the transport itself is the pool's client.

mod check;
mod chunk_run;
mod client_watch;
mod inputs;
mod job_session;
mod launched;
mod leave;
mod lifeline;
mod poll_jobs;
mod programs;
mod running_pool;
mod serve;

pub use check::{check, is_to_check};
pub(super) use launched::{exit_code, launch, tell_platform, words_of};
pub use launched::{is_launched, launched};
pub(super) use lifeline::Lifeline;
pub(super) use programs::Programs;
pub(super) use serve::pull;
