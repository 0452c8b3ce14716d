//! The user's API: executors, maps, futures; and the task that drives a job.
//!
//! `api/` is what a program calls, `results/` what it waits for and reads, `job/` the state of one job, `driver/` the
//! task that gives its calls to workers, `durable/` what lets it survive its client. [`Core`](core::Core) is what all
//! jobs of an executor share.

mod api;
mod core;
mod driver;
mod durable;
mod job;
mod results;

pub use api::{
    Async, Blocking, Builder, Call, Executor, FunctionExecutor, Gives, Map, MapReduce, MapReduceByKey, Mode,
    RetryPolicy,
};
pub use driver::{Assignment, Durable, Ended, PayloadStore, RetryIf, drive, drive_with};
pub use durable::{
    Cleaning, Expired, JobResources, Leadership, Listing, StoredJob, StoredJobs, Unfinished, Unused,
    only_reads,
};
pub use job::{
    Account, Command, Commands, History, InputQueue, Inputs, IntoInputs, JobCleanup, JobEvent, JobState,
    Learn, Measured, OutcomePart, Outcomes, Progress,
};
pub use results::{
    AsCompleted, Completed, Events, FuturesList, ResponseFuture, ResponseValue, ReturnWhen, Status, Summary,
    Values, Wait,
};
