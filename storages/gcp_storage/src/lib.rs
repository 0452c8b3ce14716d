//! The storage `gcp_storage`: buckets of Google Cloud Storage.

mod bucket;
mod config;
mod credentials;
mod storage;

pub use storage::open;

use lithops_core::storage::StorageDescriptor;

/// The name of the storage.
pub const SCHEME: &str = "gcp_storage";

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "buckets of Google Cloud Storage",
        package: env!("CARGO_PKG_NAME"),
        keys: config::KEYS,
        locate: config::locate,
        credentials: config::credentials,
        connect: storage::connect,
    }
}
