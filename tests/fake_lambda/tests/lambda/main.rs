//! The fake as its clients see it, with real processes.

mod caller;
mod control;
mod environments;
mod failures;
mod freezing;
mod invocations;
mod limits;
mod program;
mod streaming;
