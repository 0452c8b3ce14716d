//! The pool: one dispatcher that owns all state, and processes that run calls.
//!
//! ```text
//!             Calls                        Calls (a batch)
//!  client ------------> job queues ---------------------------> sub-worker
//!     ^                   ^   ^                                   |   |
//!     |                   |   | not begun: dead, or taken back    |   | log pipe,
//!     |  Logs, Report     |   +-----------------------------------+   | marked at the
//!     +-------------------+----------------- Report ------------------+ end of a call
//! ```
//!
//! A slot is a sub-worker with at most two batches: the one it runs and the next. A page that worker and sub-worker
//! share (the ledger) says which calls of a batch have been begun. So the pool knows, after the death of a sub-worker,
//! which call is to blame and which calls go back unharmed; and an idle slot can take over calls that a busy one has not
//! begun.
//!
//! A call may start jobs itself. Such a job has its slot as the owner in place of the client, runs in other slots, and
//! ends with its owner. While a call waits for calls of its own, its slot is not counted: another may run in its place.
//!
//! [`Pool`] is all state; each of the other files has one part of what it does: `client_frames` and `reports` take in
//! frames, `ended` the ends of sub-workers, `payloads` results of the storage, `ticks` the time, and `sharing` gives
//! out calls.

mod client_frames;
mod dispatcher;
mod ended;
mod exit_cause;
mod jobs;
mod ledger;
mod nesting;
mod outgoing;
mod payloads;
mod reports;
mod sharing;
mod shortage;
mod slots;
mod starts;
mod state;
mod storage_tasks;
mod ticks;

#[cfg(any(feature = "http", feature = "lambda"))]
pub(crate) use jobs::PayloadStore;
pub(crate) use ledger::{Ledger, MAX_BATCH};
#[cfg(any(feature = "http", feature = "lambda"))]
pub(crate) use slots::limit_to;
pub(crate) use slots::{MARK_LEN, memory_limit};

pub use dispatcher::{run, run_until_told};
pub use state::Pool;
