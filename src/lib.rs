//! Runs `map` and `map_reduce` of ordinary Rust functions on this machine, and on the cloud by changing one line of
//! configuration.
//!
//! ```no_run
//! use lithops::prelude::*;
//!
//! #[lithops::function]
//! fn my_map_function(id: CallId, x: i64) -> i64 {
//!     println!("I'm activation number {id}");
//!     x + 7
//! }
//!
//! #[lithops::main]
//! async fn main() -> lithops::Result<()> {
//!     let fexec = FunctionExecutor::builder().worker_processes(4).build().await?;
//!     let futures = fexec.map(my_map_function, 0..200).chunksize(8).await?;
//!     let results: Vec<i64> = futures.get_result().await?;
//!     println!("{results:?}");
//!     Ok(())
//! }
//! ```
//!
//! How many calls run at once in one worker (`worker_processes`) and how many calls each worker is given
//! (`chunksize`) is the **worker granularity**: `futures.plan()` says what it comes to.
//!
//! Calls are made at least once and committed exactly once: when a worker is lost, a call may be made again, and what
//! it does outside itself may happen twice. `#[lithops::function(at_most_once)]` forbids that.

pub mod blocking;

pub use lithops_core::{
    bytes::Bytes,
    compute::{Capabilities, Platform, WorkerWish},
    config,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    executor::{
        AsCompleted, Async, Blocking, Builder, Completed, Events, Executor, FunctionExecutor, FuturesList,
        JobEvent, Progress, ResponseFuture, RetryPolicy, ReturnWhen, Status, Summary,
    },
    function::{CallContext, Shared},
    id::{ActivationId, CallId, JobId},
    partition::{ByteSize, DataObject, DataSource, Lines},
    plan::{
        Alternative, Auto, Basis, Cost, Count, Durations, Objective, Plan, PlanRequest, Prediction,
        Simulation, Warning, Workload, seconds, simulate, svg,
    },
    protocol::CallStats,
    registry::{Registry, findings},
    storage::{CloudObject, ObjectMeta, StorageClient, descriptors as storages, file_pieces, write_pieces},
};
pub use lithops_macros::{function, main};

/// Durable jobs, seen from outside the programs that have their functions.
pub mod jobs {
    pub use lithops_core::{
        executor::{Cleaning, Expired, Listing, StoredJob, StoredJobs, Unfinished, Unused},
        journal::{JobRecord, Owner},
    };
}

// A backend or storage that nothing names is left out by the linker, and would be missing from the registry.
#[cfg(feature = "aws_lambda")]
use lithops_backend_aws_lambda as _;
#[cfg(feature = "localhost")]
use lithops_backend_localhost as _;
#[cfg(any(feature = "aws_s3", feature = "ceph", feature = "minio"))]
use lithops_storage_aws_s3 as _;
#[cfg(feature = "redis")]
use lithops_storage_redis as _;

/// What most programs need: `use lithops::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Auto, ByteSize, Bytes, CallContext, CallError, CallErrorKind, CallId, DataObject, DataSource,
        FunctionExecutor, FuturesList, Objective, ResponseFuture, RetryPolicy, ReturnWhen, Shared,
        StorageClient,
    };
}

/// What earlier jobs of a program's function took on a backend, as they are remembered in the storage of a
/// configuration; `memory` is that of a worker in MB, 0 where it is not sold.
///
/// # Errors
/// `NotFound` that says what is remembered; or the storage cannot be read.
pub fn remembered(
    config: &config::Config,
    program: &str,
    function: &str,
    backend: &str,
    memory: u64,
) -> Result<Workload> {
    lithops_core::executor::History::of_program(config, program, function, backend, memory)
}

/// Turns this process into a worker when it was started as one, and then does not return; in the client it returns
/// at once. The first statement of `main`, unless `#[lithops::main]` stands above it.
pub fn init() {
    lithops_worker::enter();
}

/// Lets the functions of a test crate run in workers: write it once per test crate, at its root or in any module.
///
/// It makes a test that workers are started with by name; in an ordinary run it passes and does nothing. It works
/// under `cargo test` and `cargo nextest run`.
#[macro_export]
macro_rules! test_worker {
    () => {
        #[test]
        fn lithops_test_worker() {
            $crate::__private::enter_as_assigned();
        }

        $crate::__private::inventory::submit! {
            $crate::__private::TestWorker(::core::concat!(::core::module_path!(), "::lithops_test_worker"))
        }
    };
}

/// What the macros' code names. Not for programs.
#[doc(hidden)]
pub mod __private {
    pub use lithops_core::{
        error::CallError,
        function::{
            Arguments, Entry, ErrorProbe, Location, NotReserved, NotResult, Probe, Registered, Return, RunFn,
            Scope, Take, ViaBoxed, ViaDisplay, ViaStdError, check_parameter, check_return, encode,
            type_id_of,
        },
        inventory,
        process::TestWorker,
        runtime::block_on,
    };
    pub use lithops_worker::enter_as_assigned;

    /// What a registered function gives.
    pub type CallOutcome = ::core::result::Result<(), CallError>;
}
