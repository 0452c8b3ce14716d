//! What every [`Storage`](lithops_core::storage::Storage) must keep, as trials that anybody's storage can be put to.
//!
//! A test target with `harness = false` and these lines tries a storage; the bucket must exist and is left as it was:
//!
//! ```no_run
//! use std::{process::ExitCode, sync::Arc};
//!
//! use lithops_core::storage::MemoryStorage;
//!
//! fn main() -> ExitCode {
//!     let storage = Arc::new(MemoryStorage::default());
//!     lithops_conformance::storage::run("memory", move || Ok((storage.clone(), "bucket".to_owned())))
//! }
//! ```

mod harness;
mod keys;
mod objects;
mod ranges;
mod streams;
mod subject;
mod writers;

pub use harness::{Factory, run, trials};
pub use subject::Subject;
