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
//!     let fexec = FunctionExecutor::builder().worker_processes(4).show_logs(true).build().await?;
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

/// # Example
/// ```standalone_crate
/// use std::time::Duration;
///
/// use lithops::{RetryPolicy, Workload, prelude::*};
///
/// #[lithops::function]
/// fn longer_than(table: Shared<Vec<String>>, limit: usize) -> Result<usize, String> {
///     Ok(table.iter().filter(|word| word.len() > limit).count())
/// }
///
/// #[lithops::main]
/// async fn main() -> lithops::Result<()> {
///     let fexec = FunctionExecutor::builder().build().await?;
///     let words = vec!["a".to_owned(), "longer".to_owned()];
///     let futures = fexec
///         .map(longer_than, [0, 3, 9])
///         .shared(words)                                              // for the `Shared` parameter: sent once per job
///         .chunksize(2)                                               // calls that a worker is given at a time; or `Auto`
///         .worker_processes(2)                                        // calls at once in one worker, for this map; or `Auto`
///         .runtime_memory(512)                                        // MB of a worker, where a platform sells memory
///         .objective(Objective::Balanced)                             // what `Auto` minimizes
///         .workload(Workload::given("exponential:20ms".parse()?))     // how long calls take, for the planner ..
///         // .expected_duration(Duration::from_millis(20))            // .. or simply this
///         .max_cost(0.5)                                              // refuse a plan beyond 50 cents
///         .retries(RetryPolicy::new(3).backoff(Duration::from_millis(10), Duration::from_secs(1)))
///         .timeout(Duration::from_secs(30))                           // of one call
///         .extra_env([("RUST_LOG", "info")])                          // in the calls' environment
///         .speculate(true)                                            // a second worker tries the slowest calls too
///         .show_logs(true)                                            // what calls print, on stderr
///         .durable()                                                  // outlives this program; `.detach()`: and its handles
///         .await?;
///     assert_eq!(futures.get_result().await?, [2, 1, 0]);
///     Ok(())
/// }
/// ```
///
/// Options of maps over objects:
///
/// ```standalone_crate
/// use lithops::prelude::*;
///
/// #[lithops::function]
/// async fn count(object: DataObject, letter: char) -> Result<usize, lithops::Error> {
///     Ok(object.bytes().await?.iter().filter(|byte| **byte == letter as u8).count())
/// }
///
/// #[lithops::main]
/// async fn main() -> lithops::Result<()> {
///     let file = std::env::temp_dir().join(format!("lithops-doc-{}", std::process::id()));
///     std::fs::write(&file, "abc;cab;bca;")?;
///     let fexec = FunctionExecutor::builder().build().await?;
///     let futures = fexec
///         .map(count, DataSource::path(&file).with('a'))
///         .obj_chunk_number(3)                                        // parts of each object; or ..
///         // .obj_chunk_size(ByteSize::mib(8))                        // .. the size of a part
///         .obj_newline(Some(";"))                                     // what ends a record; None: cut anywhere
///         .await?;
///     assert_eq!(futures.get_result().await?, [1, 1, 1]);
///     std::fs::remove_file(file)?;
///     Ok(())
/// }
/// ```
#[doc(inline)]
pub use lithops_core::executor::Map;

/// # Example
/// Options as those of [`Map`], besides its own:
///
/// ```standalone_crate
/// use lithops::prelude::*;
///
/// #[lithops::main]
/// async fn main() -> lithops::Result<()> {
///     let fexec = FunctionExecutor::builder().build().await?;
///     let total = fexec
///         .map_reduce(|x: u64| x * x, 0..10, |squares: Vec<u64>| squares.iter().sum::<u64>())
///         .chunksize(5)
///         .spawn_reducer(50)                                          // checked, and without effect, as of now
///         .await?;
///     assert_eq!(total.result().await?, 285);
///     assert_eq!(total.maps::<u64>().expect("the maps")[3].result().await?, 9);
///     Ok(())
/// }
/// ```
///
/// With [`obj_reduce_by_key`](MapReduce::obj_reduce_by_key) the reducer is called for each object:
///
/// ```standalone_crate
/// use lithops::prelude::*;
///
/// #[lithops::function]
/// async fn bytes(object: DataObject) -> Result<u64, lithops::Error> {
///     Ok(object.bytes().await?.len() as u64)
/// }
///
/// #[lithops::main]
/// async fn main() -> lithops::Result<()> {
///     let folder = std::env::temp_dir().join(format!("lithops-doc-{}", std::process::id()));
///     std::fs::create_dir_all(&folder)?;
///     std::fs::write(folder.join("a"), "1\n2\n3\n")?;
///     std::fs::write(folder.join("b"), "4\n5\n")?;
///     let fexec = FunctionExecutor::builder().build().await?;
///     let sizes = fexec
///         .map_reduce(bytes, DataSource::path(&folder), |parts: Vec<u64>| parts.iter().sum::<u64>())
///         .obj_chunk_number(2)
///         .obj_reduce_by_key()
///         .await?;
///     assert_eq!(sizes.get_result().await?, [6, 4]);
///     std::fs::remove_dir_all(folder)?;
///     Ok(())
/// }
/// ```
#[doc(inline)]
pub use lithops_core::executor::MapReduce;

/// # Example
/// ```standalone_crate
/// use std::time::Duration;
///
/// use lithops::prelude::*;
///
/// #[lithops::function]
/// fn place_of(table: Shared<Vec<String>>, word: String) -> Option<usize> {
///     table.iter().position(|other| *other == word)
/// }
///
/// #[lithops::main]
/// async fn main() -> lithops::Result<()> {
///     let fexec = FunctionExecutor::builder().build().await?;
///     let future = fexec
///         .call_async(place_of, "b".to_owned())
///         .shared(vec!["a".to_owned(), "b".to_owned()])
///         .retries(3)
///         .timeout(Duration::from_secs(30))
///         .extra_env([("RUST_LOG", "info")])
///         .show_logs(true)
///         .durable()
///         .await?;
///     assert_eq!(future.result().await?, Some(1));
///     Ok(())
/// }
/// ```
#[doc(inline)]
pub use lithops_core::executor::Call;

/// # Example
/// ```standalone_crate
/// use std::time::Duration;
///
/// use lithops::prelude::*;
///
/// #[lithops::main]
/// async fn main() -> lithops::Result<()> {
///     let fexec = FunctionExecutor::builder().build().await?;
///     let futures = fexec.map(|x: u64| x + 7, 0..8).await?;
///     let (ended, others) = futures
///         .wait()
///         .return_when(ReturnWhen::AnyCompleted)                      // or `AllCompleted`, or `Percent(50)`
///         .timeout(Duration::from_secs(60))                           // no error when it is over: the job goes on
///         .await?;
///     assert!(!ended.is_empty() && ended.len() + others.len() == 8);
///     Ok(())
/// }
/// ```
#[doc(inline)]
pub use lithops_core::executor::Wait;
pub use lithops_core::{
    bytes::Bytes,
    compute::{Capabilities, Platform, WorkerWish},
    config,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    executor::{
        AsCompleted, Async, Blocking, Builder, CallSource, Completed, Events, Executor, FunctionExecutor,
        FuturesList, JobEvent, MapReduceByKey, Progress, ResponseFuture, RetryPolicy, ReturnWhen, Spending,
        Status, Summary,
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
        executor::{Cleaning, Expired, Listing, StoredJob, StoredJobs, Unfinished, Unused, UnusedKind},
        journal::{JobRecord, Owner, Waiting},
    };
}

// The linker leaves out crates that no code names. Without these lines their backends and storages would be
// missing from the registry.
#[cfg(feature = "aws_ec2")]
use lithops_backend_aws_ec2 as _;
#[cfg(feature = "aws_lambda")]
use lithops_backend_aws_lambda as _;
#[cfg(feature = "gcp_cloudrun")]
use lithops_backend_gcp_cloudrun as _;
#[cfg(feature = "k8s")]
use lithops_backend_k8s as _;
#[cfg(feature = "knative")]
use lithops_backend_knative as _;
#[cfg(feature = "localhost")]
use lithops_backend_localhost as _;
#[cfg(any(feature = "aws_s3", feature = "ceph", feature = "minio"))]
use lithops_storage_aws_s3 as _;
#[cfg(feature = "gcp_storage")]
use lithops_storage_gcp_storage as _;
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
