//! The task that drives a job: inputs in, calls to workers, reports to the tracker, outcomes to the futures.
//!
//! The driver chooses by the backend's capabilities. A worker with a feed is given chunk after chunk while it
//! lives. A worker without a feed is given one chunk, and the next chunk goes to a new worker (the workers
//! that live at once are a wave). A worker that sends nothing for the length of its lease is given up, and
//! its calls are dispatched to other workers. A report counts only for calls that its worker was given, on
//! the same attempt (`given.rs`). A worker that reports other calls is ended, and too many failing workers
//! end the job (`budget.rs`). A failure to start a further worker does not end a job that still has a live
//! worker.
//!
//! ```text
//!              allowed by max_workers and throttle        accepted
//!   (none) ------------------------------------> starting --------> live --+ reports, more calls
//!     ^                                             |                | ^   |
//!     |  refused for now: the calls wait again      |                | +---+
//!     +---------------------------------------------+                |
//!     |  worker or its stream ended, or its lease ran out: its calls are lost, and tried again
//!     +--------------------------------------------------------------+
//! ```

pub(super) mod asking;
mod assignment;
pub(super) mod budget;
pub(super) mod commit_buffer;
pub(super) mod dispatch;
pub(super) mod end;
pub(super) mod given;
pub(super) mod payload_store;
pub(super) mod reports;
pub(super) mod run;
pub(super) mod stragglers;
#[cfg(test)]
mod tests;
pub(super) mod throttle;
pub(super) mod tuning;
pub(super) mod workers;

pub use assignment::{Assignment, Ended, RetryIf};
pub use commit_buffer::Durable;
pub use payload_store::PayloadStore;
pub use run::{drive, drive_with};
