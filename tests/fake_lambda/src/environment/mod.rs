//! Environments: processes that run functions.

mod end;
mod invocation;
mod life;
mod log;
mod pool;
mod process;
mod record;
mod runtime_api;
mod tree;

pub(crate) use invocation::{Completion, Failure, Invocation, Mode, Outcome};
pub(crate) use pool::{Pool, dispatch};
