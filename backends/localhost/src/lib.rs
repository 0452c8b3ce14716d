//! The localhost backend of lithops: workers are processes of this machine, warm between jobs, gone with the client.
//!
//! The program itself plays the worker, unless `localhost.runtime` names the `lithops-worker` program. This crate
//! starts workers and speaks with them; how calls are run inside a worker is not its business. Inside of a call it
//! starts none: the calls go to the worker that the call runs in.
//!
//! With `dispatch: pull` the workers are a fleet instead, which finds jobs and chunks in the storage, as on machines
//! that nobody can speak with.

mod backend;
mod config;
mod fleet;
mod nesting;

pub use backend::LocalhostBackend;
pub use config::LocalhostConfig;

/// The backend's one word.
pub const SCHEME: &str = "localhost";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
