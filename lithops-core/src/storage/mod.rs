//! Storage: objects in buckets, with the same interface for every backend.
//!
//! [`Storage`] is the interface of a storage. [`FileStorage`] and [`MemoryStorage`] are those that every program
//! has; with the feature `object_store`, `ObjectStorage` implements it for a bucket behind a network. [`StorageClient`] is the handle that users have, and a [`Locator`] tells a
//! worker which storage to [`connect`] to.

mod blob;
mod client;
mod contract;
mod credentials;
mod descriptor;
mod faults;
mod files;
mod local;
mod locator;
mod memory;
mod names;
#[cfg(feature = "object_store")]
mod objects;
pub mod own_keys;
mod patience;

pub use blob::{BLOCK, BlobRef};
pub use client::{CloudObject, StorageClient};
pub use contract::{
    ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo, exists_already, no_such_object,
    out_of_bounds, too_large, wrong_length,
};
pub use credentials::{Credentials, give};
pub use descriptor::{StorageDescriptor, connect, descriptor, descriptors};
pub use files::{file_pieces, write_pieces};
pub use local::{FileStorage, openness, temporary_folder};
pub use locator::Locator;
pub use memory::MemoryStorage;
pub use names::check_bucket;
#[cfg(feature = "object_store")]
pub use objects::{Buckets, ObjectStorage, ReadableListings};
pub use patience::StorageRetryPolicy;
pub use patience::may_succeed_later;
pub(crate) use patience::{insist, was_given_up};

#[cfg(test)]
mod tests;
