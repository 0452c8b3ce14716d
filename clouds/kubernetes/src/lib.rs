//! What backends share that run on Kubernetes: how the cluster is found ([`Access`], [`Cluster`]), the image of the program
//! ([`Images`]), what failures of the API server mean ([`failure`]), parts of the checks of `lithops doctor` ([`checks`]),
//! and how values of their sections are read ([`values`]).

mod cluster;
mod image;

pub mod checks;
pub mod failure;
pub mod values;

pub use cluster::{Access, Cluster};
pub use image::{Images, Registry};
