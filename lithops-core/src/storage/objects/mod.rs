//! [`ObjectStorage`]: the storages behind a network that use the crate `object_store`.

mod faults;
mod listed_key;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
mod objects;
mod parts;
mod paths;

pub use listed_key::as_listed;
pub use objects::ObjectStorage;
