//! [`ObjectStorage`]: all storages that use the crate `object_store`.

pub(super) mod faults;
pub(super) mod listed_key;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
pub(super) mod objects;
mod parts;

pub use listed_key::as_listed;
pub use objects::{ObjectStorage, out_of_bounds};
