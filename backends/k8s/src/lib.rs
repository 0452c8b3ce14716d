//! The k8s backend of lithops: workers are the pods of Indexed Jobs. They fetch their work from the storage, or their client
//! connects to them and feeds them.
//!
//! ```text
//!  scale ──> one Indexed Job per wave of workers ──> pods ──> workers of the fleet ──> the board, in the storage
//!    ▲                                                │
//!    └── what the cluster says of them: watches ──────┘
//!
//!  invoke ──> the same Jobs and watches ──> pods that listen <── a port-forward each: calls down, reports up
//! ```

mod backend;
mod cluster_state;
mod config;
mod doctor;
mod fed;
mod fleet;
mod leftovers;
mod manifest;
mod pod_state;
mod version;
mod waves;

pub use backend::K8sBackend;

/// The backend's one word: what `lithops.backend` and the section of the configuration are called.
pub const SCHEME: &str = "k8s";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
