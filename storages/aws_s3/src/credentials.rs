//! The credentials of AWS in the form of `object_store`.

use std::sync::Arc;

use async_trait::async_trait;
use lithops_cloud_aws::{CredentialsSource, Keys};
use lithops_core::storage::Credentials;
use object_store::{
    aws::{AwsCredential, AwsCredentialProvider},
    client::CredentialProvider,
};

/// The given secrets; without any, what the usual chain of AWS finds.
pub(crate) fn provider(credentials: &Credentials) -> AwsCredentialProvider {
    Arc::new(Provider(CredentialsSource::new(Keys::of_storage(credentials).as_ref(), None)))
}

#[derive(Debug)]
struct Provider(CredentialsSource);

#[async_trait]
impl CredentialProvider for Provider {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials =
            self.0.credentials().await.map_err(|error| object_store::Error::Unauthenticated {
                path: "the credentials of the platform".to_owned(),
                source: Box::new(error),
            })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
