//! What transports have in common whose platform hands over one request at a time, and takes one answer back.
//!
//! ```text
//! platform                                 this process                      pool
//!   | -- Envelope: the program, job, calls -> | -- the program, if it is new   |
//!   |                                         | -- Job, Deadline, Calls -----> |
//!   |                                         | <-------------- Logs, Report - |
//!   | <- Envelope, or a stream of frames ---- | -- Forget -------------------> |
//! ```
//!
//! Between two requests the platform may stop the whole sandbox, for minutes or for ever. The pool and its sub-workers
//! stay as they are, warm. Nothing here waits for a time while no call runs: the clock of a stopped sandbox jumps.
//!
//! A transport says what its platform is like ([`Sandbox`]), takes requests, and sends on the pieces of each answer.

mod activation;
mod response;
mod warm_pool;

pub(super) use activation::{Pieces, begin};
pub(super) use warm_pool::{Sandbox, WarmPool};
