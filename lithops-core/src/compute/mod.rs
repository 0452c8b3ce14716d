//! Where calls run: the [`ComputeBackend`] trait, the capabilities of a backend, and its events.

mod backend;
mod capabilities;
mod descriptor;
mod invocation;
mod leftover;
mod platform;
mod platform_data;
mod price;
mod runtime;
mod scaled;
mod worker;

pub use backend::{BackendInfo, Check, CloseMode, ComputeBackend, Severity};
pub use capabilities::{CancelLevel, Capabilities, Granularity, Liveness, Reports, Spot, Startup};
pub use descriptor::{BackendDescriptor, BackendOptions, Connecting};
pub use invocation::{
    Event, EventKind, ExitReason, Feed, FeedCommand, FeedSink, Invocation, InvocationId, InvokeRequest,
};
pub use leftover::{FleetMark, Leftover};
pub use platform::{Platform, WorkerWish};
pub use price::Price;
pub use runtime::{Package, Runtime, RuntimeId, RuntimeSpec};
pub use scaled::{Scaled, WaitingWorkers, WorkerEnd};
pub use worker::{
    Answer, EventSender, Health, HowItEnded, InFlight, OpenRequest, WorkerChannel, WorkerProcess,
    WorkerProcesses, encode_request, read_answer,
};
