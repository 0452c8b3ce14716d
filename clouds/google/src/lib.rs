//! What backends and storages of Google Cloud share.

mod config;
mod key_file;

pub use config::{CREDENTIALS_PATH, PROJECT, REGION, SECTION, credentials, endpoint, region};
pub use key_file::{KeyFile, KeyKind};
