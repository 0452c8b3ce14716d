//! Runs `map` and `map_reduce` of ordinary Rust functions on this machine, and on the cloud by changing one
//! line of configuration.
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
//! (`chunksize`) is the **worker granularity**: `futures.plan()` shows the workers, time and cost that
//! follow.
//!
//! A call is run at least once and committed exactly once: when a worker is lost, a call may be run again, so
//! that its side effects may happen twice. `#[lithops::function(at_most_once)]` forbids that.

pub mod blocking;

pub use lithops_core::{
    bytes::Bytes,
    compute::{Capabilities, Platform, WorkerWish},
    config,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    executor::{
        AsCompleted, Async, Blocking, Builder, Call, CallSource, Completed, Events, Executor,
        FunctionExecutor, FuturesList, JobEvent, Map, MapReduce, MapReduceByKey, Progress, ResponseFuture,
        RetryPolicy, ReturnWhen, Status, Summary, Wait,
    },
    function::{CallContext, Shared},
    id::{ActivationId, CallId, JobId},
    partition::{ByteSize, DataObject, DataSource, Lines},
    plan::{
        Alternative, Auto, Basis, Cost, Count, Durations, Objective, Plan, PlanRequest, Prediction,
        Simulation, Warning, Workload, seconds, simulate, svg,
    },
    protocol::CallStats,
    registry::{Registry, check_config, findings},
    storage::{CloudObject, ObjectMeta, StorageClient, descriptors as storages, file_pieces, write_pieces},
};
pub use lithops_macros::{function, main};

/// Durable jobs, seen by programs that do not have the jobs' functions: listing, attaching, cancelling,
/// cleaning.
pub mod jobs {
    pub use lithops_core::{
        executor::{Cleaning, Expired, Listing, StoredJob, StoredJobs, Unfinished, Unused},
        journal::{JobRecord, Owner},
    };
}

// The linker leaves out crates that no code names. Without these lines their backends and storages would be
// missing from the registry.
#[cfg(feature = "aws_lambda")]
use lithops_backend_aws_lambda as _;
#[cfg(feature = "localhost")]
use lithops_backend_localhost as _;
#[cfg(any(feature = "aws_s3", feature = "ceph", feature = "minio"))]
use lithops_storage_aws_s3 as _;
#[cfg(feature = "redis")]
use lithops_storage_redis as _;

/// The items that most programs need: `use lithops::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Auto, ByteSize, Bytes, CallContext, CallError, CallErrorKind, CallId, DataObject, DataSource,
        FunctionExecutor, FuturesList, Objective, ResponseFuture, RetryPolicy, ReturnWhen, Shared,
        StorageClient,
    };
}

/// The workload that earlier jobs of a program's function measured on a backend, read from the storage of a
/// configuration. `memory` is that of a worker in MiB, 0 on platforms that do not sell memory.
///
/// # Errors
/// `NotFound`, with a hint that lists the functions with measurements; or the storage cannot be opened.
pub fn remembered(
    config: &config::Config,
    program: &str,
    function: &str,
    backend: &str,
    memory: u64,
) -> Result<Workload> {
    lithops_core::executor::History::of_program(config, program, function, backend, memory)
}

/// Turns this process into a worker if it was started as one, and then does not return; in the client the
/// function returns at once. It must be the first statement of `main`, unless `main` has the attribute
/// `#[lithops::main]`.
pub fn init() {
    lithops_worker::enter();
}

/// Lets the functions of a test crate run in workers: write it once per test crate, at its root or in any
/// module.
///
/// The macro defines a test, which is run by its name to start a worker. In an ordinary run the test does
/// nothing and passes. The macro works under `cargo test` and `cargo nextest run`.
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

/// Items that the macros' code uses. They are not part of the API.
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

    /// The outcome of a registered function.
    pub type CallOutcome = ::core::result::Result<(), CallError>;
}
