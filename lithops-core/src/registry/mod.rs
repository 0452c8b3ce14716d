//! The registry: which backends this program has, and what of a configuration can only be said once they are known.

mod config_check;
mod connected;
mod load_config;
mod open_storage;
mod registry;
mod trust;

pub use config_check::findings;
pub use connected::Connected;
pub use registry::{Backend, BackendSource, Registry};
