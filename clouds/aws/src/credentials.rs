//! [`CredentialsSource`]: what requests are signed with.

use std::{path::PathBuf, time::Duration, time::SystemTime};

use aws_config::{Region, default_provider::credentials::DefaultCredentialsChain};
use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use lithops_core::{
    error::{Error, ErrorKind, Result},
    regular,
};
use tokio::sync::{Mutex, OnceCell};

use crate::Keys;

/// The files that the SDK reads, by the variables that name them and their places in the home folder.
const FILES: [(&str, &str); 4] = [
    ("AWS_CONFIG_FILE", ".aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", ""),
    ("SSL_CERT_FILE", ""),
];

/// Credentials that expire within this time are replaced: a request may take as long until the service looks at them.
const MARGIN: Duration = Duration::from_secs(60);

/// What requests are signed with: an access key of the configuration, or what the usual chain of AWS finds in
/// variables, profile, container or instance.
#[derive(Debug)]
pub struct CredentialsSource(Source);

#[derive(Debug)]
enum Source {
    Keys(Credentials),
    Chain(Chain),
}

/// The chain of the AWS SDK. It is set up when something is signed for the first time.
#[derive(Debug)]
struct Chain {
    region: Option<String>,
    chain: OnceCell<DefaultCredentialsChain>,
    /// What the chain found last; it is asked again when that expires.
    found: Mutex<Option<Credentials>>,
}

impl CredentialsSource {
    /// The access key; without one, the chain. A role that the chain assumes is asked for in the region, or without one
    /// in that of the environment or profile.
    #[must_use]
    pub fn new(keys: Option<&Keys>, region: Option<&str>) -> Self {
        Self(match keys {
            Some(Keys { id, secret, token }) => {
                Source::Keys(Credentials::new(id, secret, token.clone(), None, "lithops"))
            }
            None => Source::Chain(Chain {
                region: region.map(str::to_owned),
                chain: OnceCell::new(),
                found: Mutex::default(),
            }),
        })
    }

    /// Credentials that are still valid for a minute.
    ///
    /// # Errors
    /// The chain finds none, or a file of AWS is a pipe or a device.
    pub async fn credentials(&self) -> provider::Result {
        match &self.0 {
            Source::Keys(keys) => Ok(keys.clone()),
            Source::Chain(chain) => chain.credentials().await,
        }
    }
}

impl Chain {
    async fn credentials(&self) -> provider::Result {
        let chain = self.chain.get_or_try_init(|| async {
            check_files().map_err(CredentialsError::invalid_configuration)?;
            let builder = DefaultCredentialsChain::builder();
            let builder = match &self.region {
                Some(region) => builder.region(Region::new(region.clone())),
                None => builder,
            };
            Ok::<_, CredentialsError>(builder.build().await)
        });
        let chain = chain.await?;
        let mut found = self.found.lock().await;
        let lasts = |credentials: &Credentials| {
            credentials.expiry().is_none_or(|expiry| expiry > SystemTime::now() + MARGIN)
        };
        if let Some(credentials) = found.as_ref().filter(|credentials| lasts(credentials)) {
            return Ok(credentials.clone());
        }
        Ok(found.insert(chain.provide_credentials().await?).clone())
    }
}

impl ProvideCredentials for CredentialsSource {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// The SDK would wait for ever for the end of a pipe in the place of one of its files.
pub(crate) fn check_files() -> Result<()> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    for (name, place) in FILES {
        let at_home = || {
            let home = variable("HOME").filter(|_| !place.is_empty())?;
            Some(PathBuf::from(home).join(place))
        };
        let Some(path) = variable(name).map(PathBuf::from).or_else(at_home) else { continue };
        regular::check_endless(&path).map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, format!("`{}` cannot be read: {error}", path.display()))
                .with_hint(format!("put a file there, or name another one with the variable `{name}`"))
        })?;
    }
    Ok(())
}
