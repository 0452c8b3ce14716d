//! [`ObjectStorage`]: the storages behind a network that use the crate `object_store`.

mod buckets;
mod faults;
mod listed_key;
mod listing;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
mod objects;
mod parts;
mod paths;

pub use buckets::Buckets;
pub use listing::ReadableListings;
pub use objects::ObjectStorage;
