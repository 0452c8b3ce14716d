//! The API without async: the same names, and each method blocks and returns its result.
//!
//! ```no_run
//! use lithops::prelude::*;
//!
//! #[lithops::function]
//! fn double(x: i64) -> i64 {
//!     2 * x
//! }
//!
//! fn main() -> lithops::Result<()> {
//!     lithops::init();
//!     let fexec = lithops::blocking::FunctionExecutor::builder().worker_processes(4).build()?;
//!     println!("{:?}", fexec.map(double, 0..200).chunksize(8).run()?.get_result()?);
//!     Ok(())
//! }
//! ```

use lithops_core::executor::{self, Blocking};

/// The blocking form of [`Executor`](crate::Executor): `.run()?` where the async form has `.await?`.
pub type FunctionExecutor = executor::Executor<Blocking>;

/// The blocking form of [`FuturesList`](crate::FuturesList).
pub type FuturesList<R> = executor::FuturesList<R, Blocking>;

/// The blocking form of [`ResponseFuture`](crate::ResponseFuture).
pub type ResponseFuture<R> = executor::ResponseFuture<R, Blocking>;
