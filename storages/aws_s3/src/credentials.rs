//! What requests are signed with: the secrets of the configuration, or the provider's usual chain.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::provider::ProvideCredentials;
use lithops_core::{
    error::{Error, ErrorKind, Result},
    regular,
    storage::Credentials,
};
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

/// The files that the SDK reads, by the variables that name them and their places in the home folder.
const FILES: [(&str, &str); 4] = [
    ("AWS_CONFIG_FILE", ".aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", ""),
    ("SSL_CERT_FILE", ""),
];

/// What is about to expire is asked for anew.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(60);

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let (chain, found) = self
            .0
            .get_or_try_init(|| async {
                check_files().map_err(unauthenticated)?;
                Ok::<_, object_store::Error>((
                    DefaultCredentialsChain::builder().build().await,
                    tokio::sync::Mutex::default(),
                ))
            })
            .await?;
        let mut found = found.lock().await;
        let lasts = |credentials: &aws_credential_types::Credentials| {
            credentials.expiry().is_none_or(|expiry| expiry > std::time::SystemTime::now() + MARGIN)
        };
        if !found.as_ref().is_some_and(lasts) {
            *found = Some(chain.provide_credentials().await.map_err(unauthenticated)?);
        }
        let credentials = found.as_ref().expect("it was filled above");
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}

fn unauthenticated(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Unauthenticated {
        path: "the credentials of the platform".to_owned(),
        source: Box::new(error),
    }
}

/// A pipe in the place of one of them would be waited for.
fn check_files() -> Result<()> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    for (name, place) in FILES {
        let at_home = || {
            let home = variable("HOME").filter(|_| !place.is_empty())?;
            Some(std::path::Path::new(&home).join(place))
        };
        let Some(path) = variable(name).map(std::path::PathBuf::from).or_else(at_home) else { continue };
        regular::check_endless(&path).map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, format!("`{}` cannot be read: {error}", path.display()))
                .with_hint(format!("put a file there, or name another one with the variable `{name}`"))
        })?;
    }
    Ok(())
}
