//! The storage `localhost`: files in a folder.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Credentials, Locator, ObjectStorage, Storage, StorageDescriptor, folder, names};
use crate::{
    config::{Config, Key},
    error::{Error, ErrorKind, Result},
};

pub(super) const SCHEME: &str = "localhost";
/// The bucket when none is named, as in Python Lithops.
pub(super) const DEFAULT_BUCKET: &str = "storage";

inventory::submit! {
    StorageDescriptor {
        scheme: SCHEME,
        summary: "files in a folder of this machine",
        package: env!("CARGO_PKG_NAME"),
        keys: &[
            Key::used("storage_bucket", "the bucket of jobs and cloud objects, `storage` otherwise"),
            Key::used("storage_root", "the folder that holds the buckets, <tmp>/lithops-<user>/storage otherwise"),
        ],
        locate,
        credentials: |_| Ok(Credentials::default()),
        connect,
    }
}

fn locate(config: &Config) -> Result<Locator> {
    let section = config.section(SCHEME);
    let root = section.path("storage_root")?.unwrap_or_else(default_root);
    // Workers need not start in the directory of the client.
    let root = std::path::absolute(root)?;
    let bucket = section.string("storage_bucket")?.unwrap_or(DEFAULT_BUCKET);
    names::check_bucket(bucket)?;
    let root = root.into_os_string().into_string().map_err(|root| {
        Error::new(ErrorKind::ConfigInvalid, format!("the storage folder `{}` is not UTF-8", root.display()))
            .with_hint("set `storage_root` in section `localhost` to another folder")
    })?;
    Ok(Locator::new(SCHEME, bucket).with_root(root))
}

fn connect(locator: &Locator, _: &Credentials) -> Result<Arc<dyn Storage>> {
    let root = locator.root.as_ref().map_or_else(default_root, PathBuf::from);
    if root.starts_with(folder::of_this_user()) {
        folder::create_own(&folder::of_this_user())?;
    }
    Ok(Arc::new(ObjectStorage::local(&root)?))
}

fn default_root() -> PathBuf {
    folder::of_this_user().join("storage")
}

/// Refuses what cannot be the name of a file here; `object_store` keeps `name#1` for files that are being written.
pub(super) fn check_file_name(key: &str) -> Result<()> {
    if is_staged(key) {
        let message = format!(
            "the key `{key}` ends in `#` and digits, which marks unfinished files in storage `localhost`"
        );
        return Err(Error::new(ErrorKind::InvalidInput, message).with_hint("choose another name"));
    }
    Ok(())
}

/// Whether a file of this name is one that `object_store` is writing, and that it does not list, read or delete.
pub(super) fn is_staged(key: &str) -> bool {
    let name = Path::new(key).file_name().and_then(|name| name.to_str()).unwrap_or(key);
    name.split_once('#')
        .is_some_and(|(_, suffix)| !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
}
