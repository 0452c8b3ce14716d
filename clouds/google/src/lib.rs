//! What backends and storages of Google Cloud share.

#[cfg(feature = "tokens")]
mod assertion;
mod config;
mod failure;
mod key_file;
#[cfg(feature = "tokens")]
mod tokens;

pub use config::{CREDENTIALS_PATH, PROJECT, REGION, SECTION, credentials, endpoint, region};
pub use failure::of_answer;
pub use key_file::{KeyFile, KeyKind};
#[cfg(feature = "tokens")]
pub use tokens::Tokens;
