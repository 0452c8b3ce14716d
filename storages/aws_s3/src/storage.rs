//! Opens S3, or another store with the API of S3.

use std::sync::Arc;

use lithops_core::{
    error::Result,
    storage::{
        Buckets, Credentials, Locator, ObjectStorage, Storage, StorageCapabilities, StorageInfo,
        StorageRetryPolicy, descriptor,
    },
};

use crate::{bucket, credentials};

/// Opens what a locator names.
pub(crate) fn connect(locator: &Locator, credentials: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(open(locator, credentials)?))
}

/// The storage that a locator names. Without credentials the usual chain of AWS is asked when the first request is
/// signed.
///
/// # Errors
/// The scheme of the locator is none of this crate.
pub fn open(locator: &Locator, credentials: &Credentials) -> Result<Buckets> {
    let region = locator.region.clone().unwrap_or_default();
    let info = StorageInfo {
        scheme: descriptor(&locator.scheme)?.scheme,
        location: locator.endpoint.clone().unwrap_or(region),
    };
    let capabilities = StorageCapabilities { shared_between_processes: true };
    let policy = match &locator.endpoint {
        Some(endpoint) => StorageRetryPolicy::network().of(endpoint),
        None => StorageRetryPolicy::network(),
    };
    let (locator, credentials) = (locator.clone(), credentials::provider(credentials));
    let (of_bucket, may) = (info.clone(), capabilities);
    Ok(Buckets::new(info, capabilities, move |bucket| {
        let store = bucket::open(&locator, bucket, Arc::clone(&credentials))?;
        Ok(ObjectStorage::bucket(Arc::new(store), of_bucket.clone(), may, policy.clone()))
    }))
}
