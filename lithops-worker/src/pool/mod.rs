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
//! A slot is a sub-worker with at most two batches: the one it runs and the next. Which call of a batch has been
//! begun stands in a page that worker and sub-worker share (the ledger), so that after a death the pool knows which
//! call is to blame and which go back unharmed, and so that an idle slot can take over what a busy one has not begun.
//!
//! A call may start jobs itself. Such a job has its slot as the owner in place of the client, runs in other slots, and
//! ends with its owner. While a call waits for calls of its own, its slot is not counted: another may run in its place.

mod bundles;
mod cause;
mod deadline;
mod dispatcher;
mod ended;
mod events;
mod job;
mod ledger;
mod log_pipe;
mod memory;
mod nesting;
mod offspring;
mod parcels;
mod sharing;
mod shortage;
mod slot;
mod state;

pub(crate) use ledger::{Ledger, MAX_BATCH};
pub(crate) use log_pipe::MARK_LEN;
#[cfg(feature = "lambda")]
pub(crate) use memory::limit_to;

pub use dispatcher::run;
pub use state::Pool;
