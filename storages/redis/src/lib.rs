//! The storage `redis`: objects as strings of a Redis server.

mod config;
mod connection;
mod faults;
mod storage;

pub use storage::RedisStorage;

use lithops_core::storage::StorageDescriptor;

/// The storage's name: its scheme, its feature and its section of the configuration.
pub const SCHEME: &str = "redis";

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "strings of a Redis server",
        package: env!("CARGO_PKG_NAME"),
        keys: config::KEYS,
        locate: config::locate,
        credentials: config::credentials,
        connect: storage::connect,
    }
}
