//! The registry: which backends this program has, and the parts of a configuration that depend on them.

mod config_check;
mod connected;
mod load_config;
mod open_storage;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
mod registry;
mod trust;

pub use config_check::{check_config, findings};
pub use connected::Connected;
pub use registry::{Backend, BackendSource, Registry};
