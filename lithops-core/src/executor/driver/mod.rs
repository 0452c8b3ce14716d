//! The task that drives a job: inputs in, calls to workers, reports to the tracker, outcomes to the futures.
//!
//! It chooses by the backend's capabilities: a worker that can be fed is given chunk after chunk while it lives; one
//! that cannot is given one chunk, and the next chunk goes to the next worker (a wave is what lives at once). A worker
//! that is not heard of for its lease is given up, and its calls go elsewhere. A report counts for calls that its worker
//! was given, on that attempt (`given.rs`); a worker that reports others is ended, and a job does not put up with
//! workers like that without end (`budget.rs`). That one more worker cannot be started ends no job that has another.
//!
//! ```text
//!              allowed by max_workers and throttle        accepted
//!   (none) ------------------------------------> starting --------> live --+ reports, more calls
//!     ^                                             |                | ^   |
//!     |  refused for now: its calls wait again      |                | +---+
//!     +---------------------------------------------+                |
//!     |  ended, its stream ended, or its lease is over: its calls are lost with it, and tried again
//!     +--------------------------------------------------------------+
//! ```

pub(super) mod assignment;
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
