//! The `pull` door: the worker is one of a fleet and finds its jobs itself.
//!
//! ```text
//!               a post of a job it is not done with
//!   searching ---------------------------------------> at a job (`stint.rs`): its board says what to run
//!    |  ^                                                |
//!    |  +------------------------------------------------+ finished, taken away, or idle here and wanted elsewhere
//!    v
//!   gone: no job for too long, or whoever has launched it is gone
//! ```
//!
//! That whoever has launched it is gone is seen by a thread of its own too (`lifeline.rs`), should this one be stuck.
//!
//! The pool is the same as behind every door: here it is this door that feeds it.

mod inputs;
mod lifeline;
mod search;
mod serve;
mod shift;
mod stint;

pub(super) use serve::{Lifeline, pull};
