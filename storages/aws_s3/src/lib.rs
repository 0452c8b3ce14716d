//! The storages `aws_s3`, `minio` and `ceph`: buckets of S3, and of other stores with the API of S3.

mod bucket;
mod config;
mod credentials;
mod storage;

pub use storage::open;

use lithops_core::storage::StorageDescriptor;

/// S3 itself.
pub const SCHEME: &str = "aws_s3";
/// MinIO, at an endpoint.
pub const MINIO: &str = "minio";
/// Ceph's object gateway, at an endpoint.
pub const CEPH: &str = "ceph";

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "buckets of Amazon S3",
        package: env!("CARGO_PKG_NAME"),
        keys: config::AWS_S3_KEYS,
        locate: |configuration| config::locate(configuration, SCHEME),
        credentials: |configuration| config::credentials(configuration, SCHEME),
        connect: storage::connect,
    }
}

inventory::submit! {
    StorageDescriptor {
        scheme: MINIO,
        summary: "buckets of MinIO, or of another store that speaks S3",
        package: env!("CARGO_PKG_NAME"),
        keys: config::ENDPOINT_KEYS,
        locate: |configuration| config::locate(configuration, MINIO),
        credentials: |configuration| config::credentials(configuration, MINIO),
        connect: storage::connect,
    }
}

inventory::submit! {
    StorageDescriptor {
        scheme: CEPH,
        summary: "buckets of Ceph's object gateway",
        package: env!("CARGO_PKG_NAME"),
        keys: config::ENDPOINT_KEYS,
        locate: |configuration| config::locate(configuration, CEPH),
        credentials: |configuration| config::credentials(configuration, CEPH),
        connect: storage::connect,
    }
}
