//! Storage: objects in buckets, the same everywhere.
//!
//! [`Storage`] is what a storage must do, [`ObjectStorage`] does it over `object_store`, [`StorageClient`] is what
//! users hold, and a [`Locator`] tells a worker which storage to [`connect`] to.

mod client;
mod contract;
mod descriptor;
mod faults;
mod folder;
mod local;
mod locator;
mod memory;
mod names;
mod objects;

pub use client::{CloudObject, StorageClient};
pub use contract::{ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo};
pub use descriptor::{StorageDescriptor, connect, descriptor, descriptors};
pub use locator::Locator;
pub use objects::ObjectStorage;

#[cfg(test)]
mod tests;
