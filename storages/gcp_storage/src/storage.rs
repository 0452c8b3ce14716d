//! Opens Google Cloud Storage.

use std::sync::Arc;

use lithops_core::{
    error::Result,
    storage::{
        Buckets, Credentials, Locator, ObjectStorage, Storage, StorageCapabilities, StorageInfo,
        StorageRetryPolicy,
    },
};

use crate::{SCHEME, bucket, credentials};

/// Opens what a locator names.
pub(crate) fn connect(locator: &Locator, credentials: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(open(locator, credentials)?))
}

/// The storage that a locator names. Without credentials, the login of gcloud and then the metadata server of the
/// platform are asked when the first request is made.
///
/// # Errors
/// The credentials are none.
pub fn open(locator: &Locator, credentials: &Credentials) -> Result<Buckets> {
    let address = locator.endpoint.clone().unwrap_or_else(|| bucket::ADDRESS.to_owned());
    // Without an address of its own, a request that is never answered is more likely about the credentials.
    let policy = match &locator.endpoint {
        Some(endpoint) => StorageRetryPolicy::network().of(endpoint),
        None => StorageRetryPolicy::network(),
    };
    let info = StorageInfo { scheme: SCHEME, location: address };
    let capabilities = StorageCapabilities { shared_between_processes: true };
    let (locator, credentials) = (locator.clone(), credentials::provider(locator, credentials)?);
    let (of_bucket, may) = (info.clone(), capabilities);
    Ok(Buckets::new(info, capabilities, move |bucket| {
        let store = bucket::open(&locator, bucket, Arc::clone(&credentials))?;
        Ok(ObjectStorage::bucket(Arc::new(store), of_bucket.clone(), may, policy.clone()))
    }))
}
