//! What every [`ComputeBackend`](lithops_core::compute::ComputeBackend) must keep, as trials that anybody's backend can
//! be put to: one for each promise in the trait's documentation, chosen by the backend's capabilities.
//!
//! A test target with `harness = false` and these lines tries a backend under a configuration:
//!
//! ```no_run
//! use my_backend as _; // it registers itself
//! # mod my_backend {}
//!
//! fn main() -> std::process::ExitCode {
//!     lithops_conformance::compute::run("my_backend", "my_backend: {worker_processes: 2}")
//! }
//! ```
//!
//! The calls of the trials run where the backend runs calls; they meet in the storage of the configuration, which the
//! workers must be able to reach.

mod functions;
mod harness;
mod marks;
mod promise;
mod running;
mod subject;
mod trials;

pub use harness::{enter, run, trials};
pub use promise::{Promise, promises, put_to};
pub use subject::Subject;
