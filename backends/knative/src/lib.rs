//! The knative backend of lithops: workers are the pods of a Service of Knative, and answer requests with streams of
//! outcomes.
//!
//! ```text
//!  deploy ──> one Service per image and settings ──> Revision ──> pods, as many as there are requests
//!  invoke ──> POST to the Service's URL, to an ingress or to the activator ──> a pod ──> a worker's answer
//! ```

mod backend;
mod config;
mod deploy;
mod doctor;
mod kinds;
mod leftovers;
mod manifest;
mod pods;
mod route;
mod secret;
mod state;

pub use backend::KnativeBackend;

/// The backend's one word: what `lithops.backend` and the section of the configuration are called.
pub const SCHEME: &str = "knative";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
