//! The API that a program calls: the executor, its builder, `call_async`, `map` and `map_reduce` with their
//! options.

pub(super) mod builder;
pub(super) mod call;
pub(super) mod executor;
pub(super) mod map;
pub(super) mod map_reduce;
pub(super) mod mode;
pub(super) mod options;
pub(super) mod portable;
mod repeat;

pub use builder::Builder;
pub use call::Call;
pub use executor::{Executor, FunctionExecutor};
pub use map::Map;
pub use map_reduce::{Gathered, Gives, MapReduce, MapReduceByKey};
pub use mode::{Async, Blocking, Mode};
pub use options::RetryPolicy;
