//! What a cluster needs of the machine: processes, namespaces, control groups, and files that say more than is there.

mod cgroups;
mod http;
mod machine;
mod process;
mod sandbox;
mod waiting;

pub(super) use cgroups::Cgroups;
pub(super) use http::request;
pub(super) use machine::pretend;
pub(super) use process::Process;
pub(super) use sandbox::Sandbox;
pub(super) use waiting::{last_lines, until};
