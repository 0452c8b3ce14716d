//! What requests are signed with: the secrets of the configuration, or the provider's usual chain.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::provider::ProvideCredentials;
use lithops_core::storage::Credentials;
use object_store::{
    StaticCredentialProvider,
    aws::{AwsCredential, AwsCredentialProvider},
    client::CredentialProvider,
};
use tokio::sync::OnceCell;

/// The given secrets; without any, what variables, profile, container or instance have.
pub(crate) fn provider(credentials: &Credentials) -> AwsCredentialProvider {
    match (credentials.expose("access_key_id"), credentials.expose("secret_access_key")) {
        (Some(id), Some(secret)) => Arc::new(StaticCredentialProvider::new(AwsCredential {
            key_id: id.to_owned(),
            secret_key: secret.to_owned(),
            token: credentials.expose("session_token").map(str::to_owned),
        })),
        _ => Arc::new(Chain::default()),
    }
}

/// The chain of the AWS SDK. It is only set up when something is to be signed, and remembers what it found until that
/// expires.
#[derive(Debug, Default)]
struct Chain(
    OnceCell<(DefaultCredentialsChain, tokio::sync::Mutex<Option<aws_credential_types::Credentials>>)>,
);

/// What is about to expire is asked for anew.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(60);

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let (chain, found) = self
            .0
            .get_or_init(|| async {
                (DefaultCredentialsChain::builder().build().await, tokio::sync::Mutex::default())
            })
            .await;
        let mut found = found.lock().await;
        let lasts = |credentials: &aws_credential_types::Credentials| {
            credentials.expiry().is_none_or(|expiry| expiry > std::time::SystemTime::now() + MARGIN)
        };
        if !found.as_ref().is_some_and(lasts) {
            let fault = |error| object_store::Error::Unauthenticated {
                path: "the credentials of the platform".to_owned(),
                source: Box::new(error),
            };
            *found = Some(chain.provide_credentials().await.map_err(fault)?);
        }
        let credentials = found.as_ref().expect("it was filled above");
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
