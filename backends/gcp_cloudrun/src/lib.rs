//! The Cloud Run backend of lithops: a worker is an instance of a service, which is given one chunk with each request and
//! streams its outcomes.
//!
//! The image of the service is made of the program alone and pushed to Artifact Registry (`image.rs`). The service is named
//! by a digest of what it consists of (`service.rs`), so that two clients that deploy the same make one service
//! (`deploy.rs`). Requests go through `lithops-activations`; what Cloud Run says is in `rules.rs`.

mod admin;
mod backend;
mod config;
mod deploy;
mod doctor;
mod image;
mod leftovers;
mod quota;
mod rules;
mod service;

pub use backend::GcpCloudRunBackend;
pub use config::GcpCloudRunConfig;

/// The backend's name: its scheme, its feature and its section of the configuration.
pub const SCHEME: &str = "gcp_cloudrun";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
