//! The user's API: executors, maps, futures; and the task that drives a job.

mod builder;
mod call;
mod checks;
mod client;
mod decode;
mod driver;
mod feeding;
mod futures;
mod map;
mod map_reduce;
mod mode;
mod options;
mod response;
mod runtime;
mod source;
mod throttle;
mod wait;
mod workers;

pub use builder::Builder;
pub use call::Call;
pub use checks::findings;
pub use client::{Executor, FunctionExecutor};
pub use decode::Values;
pub use driver::{Assignment, RetryIf, drive, drive_with};
pub use futures::{AsCompleted, Completed, FuturesList};
pub use map::Map;
pub use map_reduce::{Gives, MapReduce};
pub use mode::{Async, Blocking, Mode};
pub use options::{Auto, Count, RetryPolicy};
pub use response::{ResponseFuture, ResponseValue, Status};
pub use runtime::block_on;
pub use wait::{ReturnWhen, Wait};
