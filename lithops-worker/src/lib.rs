//! The worker of lithops: it runs a pool of sub-workers, each of which is a process that runs one call at a time.
//!
//! [`enter`] is what `lithops::init()` calls: it makes this process a worker or a sub-worker when it was started as
//! one. The pool is the same everywhere; a [`transport`] connects it to its client. This crate knows no
//! backend and never decides what to run where: the client does.

mod clock;
mod entry;
mod exit;
mod lifeline;
pub mod pool;
mod processes;
#[cfg(feature = "programs")]
mod program_cache;
mod signals;
mod sub_worker;
pub mod transport;

#[cfg(feature = "http")]
pub use entry::serve_http;
#[cfg(feature = "lambda")]
pub use entry::serve_lambda;
pub use entry::{enter, enter_as_assigned, serve_launched, serve_listening, serve_stdio};
