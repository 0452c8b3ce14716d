//! What transports have in common whose platform hands over one request at a time, and takes one answer back.
//!
//! ```text
//! platform                                 this process                      pool
//!   | -- request: the program, job, calls --> | -- the program, if it is new   |
//!   |                                         | -- Job, Deadline, Calls -----> |
//!   |                                         | <-------------- Logs, Report - |
//!   | <- answer, whole or in pieces --------- | -- Forget -------------------> |
//! ```
//!
//! Between two requests the platform may stop the whole sandbox, for minutes or for ever. The pool and its sub-workers
//! stay as they are, warm. Nothing here waits for a time while no call runs: the clock of a stopped sandbox jumps.
//!
//! A transport says what its platform is like ([`Sandbox`]), takes requests, and sends on the pieces of each answer.

mod activation;
mod activation_request;
mod pieces;
mod response;
mod warm_pool;

pub(super) use activation::{Terms, begin};
pub(super) use activation_request::ActivationRequest;
#[cfg(feature = "lambda")]
pub(super) use pieces::Pieces;
pub(super) use warm_pool::{Sandbox, WarmPool};
