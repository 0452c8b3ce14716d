//! `cargo xtask cluster`: a real Kubernetes on this machine, for tests.
//!
//! Its control plane and kubelets are built from their published Go modules, containerd and the registry are packages of
//! the machine. All of it runs in namespaces of its own, without a way out.

mod arguments;
mod build;
mod folder;
mod handle;
mod network;
mod parts;
mod start;
mod status;
mod system;

pub(crate) use arguments::{What, run};
pub(crate) use handle::{Cluster, Options};
pub(crate) use network::ACTIVATOR;
