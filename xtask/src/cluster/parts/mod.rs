//! The programs that a cluster consists of: how each is configured and started, and when it is ready.

mod all;
mod control_plane;
mod fake_nodes;
mod knative;
mod node;
mod registry;
mod storage;

pub(super) use all::Parts;
use all::filled;
pub(super) use control_plane::{
    AUDIT, restart_api_server, start_api_server, start_controllers, write_credentials,
};
pub(super) use fake_nodes::add_fake_nodes;
pub(super) use knative::{ACTIVATOR, restart_activator, serve_names, start_knative};
pub(super) use node::{Node, wait_for_nodes};
pub(super) use registry::{start_registry, wait_for_registry};
pub(super) use storage::{CONFIG, remove_sockets, start_storage, wait_for_storage};
