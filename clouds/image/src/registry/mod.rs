//! Registries of images: how they are named, logged in to, asked and written to.
//!
//! ```text
//!  Reference ──open──> Repository ──push──> HEAD, POST, PUT
//!  Logins ──────────────┘    └── Connection: challenges, retries, counts
//! ```

mod base;
mod challenge;
mod connection;
mod docker_config;
mod failure;
mod login;
mod push;
mod reference;
mod repository;
mod token;

pub use base::BaseImage;
pub use login::{Login, LoginSource, Logins};
pub use push::Pushed;
pub use reference::Reference;
pub use repository::Repository;
