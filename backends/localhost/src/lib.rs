//! The localhost backend of lithops: workers are processes of this machine, warm between jobs, gone with the client.
//!
//! The program itself plays the worker, unless `localhost.runtime` names the `lithops-worker` program. This crate
//! starts workers and exchanges frames with them; `lithops-worker` runs the calls. Inside of a call no worker is
//! started: the calls go to the worker that the call runs in.
//!
//! With `dispatch: pull` the workers are a fleet instead, which finds jobs and chunks in the storage, as on platforms
//! where a client cannot connect to a worker.

mod backend;
mod config;
mod fleet;
mod leftovers;
mod nesting;
#[cfg(feature = "artifacts")]
mod program;

pub use backend::LocalhostBackend;
pub use config::LocalhostConfig;

/// The backend's name: its scheme, its feature and its section of the configuration.
pub const SCHEME: &str = "localhost";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
