//! The user's API: executors, maps, futures; and the task that drives a job.
//!
//! `api/` holds what a program calls, `results/` what the program waits for and reads, `job/` the state of
//! one job, `driver/` the task that dispatches the job's calls to workers, and `durable/` the parts that let
//! a job outlive its client. `core.rs` holds what all jobs of an executor share.

mod api;
mod core;
mod driver;
mod durable;
mod job;
mod results;
mod terminal;

pub use api::{
    Async, Blocking, Builder, Call, Executor, FunctionExecutor, Gathered, Gives, Map, MapReduce,
    MapReduceByKey, Mode, RetryPolicy,
};
pub use driver::{Assignment, Durable, Ended, PayloadStore, RetryIf, drive, drive_with};
pub use durable::{
    Cleaning, Expired, JobResources, Leadership, Listing, StoredJob, StoredJobs, Unfinished, Unused,
    UnusedKind, only_reads,
};
pub use job::{
    Account, CallSource, Command, Commands, History, InputQueue, Inputs, IntoInputs, JobCleanup, JobEvent,
    JobState, Learn, Measured, OutcomePart, Outcomes, Progress, Spending,
};
pub use results::{
    AsCompleted, Completed, Events, FuturesList, ResponseFuture, ResponseValue, ReturnWhen, Status, Summary,
    Values, Wait,
};
