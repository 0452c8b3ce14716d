//! Where calls run: the [`ComputeBackend`] trait, what a backend can do, and what it reports.

mod backend;
mod capabilities;
mod descriptor;
mod invocation;
mod runtime;

pub use backend::{BackendInfo, Check, CloseMode, ComputeBackend, Severity};
pub use capabilities::{CancelLevel, Capabilities, Granularity, Liveness, Price, Reports, Startup};
pub use descriptor::{BackendDescriptor, BackendOptions, Connecting, Registry};
pub use invocation::{
    Event, EventKind, ExitReason, Feed, FeedCommand, FeedSink, Invocation, InvocationId, InvokeRequest,
};
pub use runtime::{Package, Runtime, RuntimeId, RuntimeSpec};
