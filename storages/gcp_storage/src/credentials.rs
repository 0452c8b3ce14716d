//! Tokens: by the key of a service account, by the login of a user, or by the metadata server of the platform.

use std::sync::Arc;

use async_trait::async_trait;
use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    storage::{Credentials, Locator},
};
use object_store::{
    StaticCredentialProvider,
    client::CredentialProvider,
    gcp::{GcpCredential, GcpCredentialProvider},
};

use crate::bucket::builder;

/// The secret that is the content of a key file of a service account.
pub(crate) const KEY: &str = "service_account_key";
/// The secret that is the path of the login of a user. The file stays on this machine.
pub(crate) const USER_FILE: &str = "authorized_user_file";

/// The variable that names another metadata server than the one of the platform.
const METADATA: &str = "GCE_METADATA_HOST";

/// The source of tokens for all buckets: one, so that a token is fetched once.
pub(crate) fn provider(locator: &Locator, credentials: &Credentials) -> Result<GcpCredentialProvider> {
    let builder = builder(locator).with_bucket_name("any");
    let builder = if let Some(key) = credentials.expose(KEY) {
        builder.with_service_account_key(key)
    } else if let Some(file) = credentials.expose(USER_FILE) {
        builder.with_application_credentials(file)
    } else if locator.endpoint.is_some() && std::env::var_os(METADATA).is_none() {
        // A store at another address, which no identity is configured for: requests go without one.
        return Ok(Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: String::new() })));
    } else {
        builder
    };
    let store = builder.build().map_err(|error| {
        Error::new(ErrorKind::ConfigInvalid, format!("cannot use the credentials of `gcp_storage`, {error}"))
            .with_hint(
                "name the JSON key of a service account in `credentials_path`, as Google's console wrote it",
            )
    })?;
    Ok(Arc::new(Provider(Arc::clone(store.credentials()))))
}

/// Says what can be done where no token can be had.
#[derive(Debug)]
struct Provider(GcpCredentialProvider);

#[async_trait]
impl CredentialProvider for Provider {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        self.0.get_credential().await.map_err(|error| {
            let message = "there are no credentials of Google Cloud that give a token";
            let error = Error::new(ErrorKind::PermissionDenied, message)
                .with_hint(
                    "name the JSON key of a service account in `credentials_path`, run `gcloud auth application-default \
                     login`, or run on a machine of Google whose service account may use the bucket",
                )
                // A metadata server may be busy as well.
                .with_retry(Retry::Later)
                .with_source(error);
            object_store::Error::Unauthenticated { path: "the token".to_owned(), source: Box::new(error) }
        })
    }
}
