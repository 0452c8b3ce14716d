//! What every [`Storage`](lithops_core::storage::Storage) must keep, as trials that anybody's storage can be put to.
//!
//! A test target with `harness = false` and these lines tries a storage; the bucket must exist and is left as it was:
//!
//! ```no_run
//! # fn open() -> lithops_core::error::Result<std::sync::Arc<dyn lithops_core::storage::Storage>> { unimplemented!() }
//! fn main() -> std::process::ExitCode {
//!     lithops_conformance::storage::run("mine", || Ok((open()?, "bucket".to_owned())))
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
