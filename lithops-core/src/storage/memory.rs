//! The storage `memory`: objects in the memory of this process, for tests.

use std::sync::{Arc, LazyLock};

use super::{
    Credentials, Locator, ObjectStorage, Storage, StorageDescriptor, local::files::DEFAULT_BUCKET, names,
    objects::objects::MEMORY as SCHEME,
};
use crate::{
    config::{Config, Key},
    error::Result,
};

/// The one storage of the process, so that all clients with its locator see the same objects. It
/// ends with the process.
static MEMORY: LazyLock<Arc<ObjectStorage>> = LazyLock::new(|| Arc::new(ObjectStorage::memory()));

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "the memory of this process, which workers cannot reach",
        package: env!("CARGO_PKG_NAME"),
        keys: &[Key::used("storage_bucket", "the bucket of jobs and cloud objects, `storage` otherwise")],
        locate,
        credentials: |_| Ok(Credentials::default()),
        connect,
    }
}

fn locate(config: &Config) -> Result<Locator> {
    let bucket = config.section(SCHEME).string("storage_bucket")?.unwrap_or(DEFAULT_BUCKET);
    names::check_bucket(bucket)?;
    Ok(Locator::new(SCHEME, bucket))
}

#[expect(clippy::unnecessary_wraps, reason = "the descriptor's form: other storages can fail to connect")]
fn connect(_: &Locator, _: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::<ObjectStorage>::clone(&MEMORY))
}
