//! [`Logins`]: where the credentials for registries are.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lithops_core::error::Result;

use super::docker_config;

/// What a registry is logged in to with. `Debug` leaves out the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Login(pub(crate) Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Anonymous,
    Password {
        user: String,
        password: String,
    },
    /// A token that the registry's token server exchanges.
    Identity(String),
    /// A token that goes with each request.
    Bearer(String),
}

impl Login {
    /// No login: for what all may read.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Kind::Anonymous)
    }

    /// A user and a password, or what a registry takes as that, such as `oauth2accesstoken` and a token.
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::Password { user: user.into(), password: password.into() })
    }

    /// A token that the registry's token server exchanges for short ones (`identitytoken` of Docker).
    pub fn identity(token: impl Into<String>) -> Self {
        Self(Kind::Identity(token.into()))
    }

    /// A token that goes with each request as it is (`registrytoken` of Docker).
    pub fn bearer(token: impl Into<String>) -> Self {
        Self(Kind::Bearer(token.into()))
    }

    /// How messages name the login.
    pub(crate) fn shown(&self) -> String {
        match &self.0 {
            Kind::Anonymous => "no login".to_owned(),
            Kind::Password { user, .. } => format!("the login of user `{user}`"),
            Kind::Identity(_) | Kind::Bearer(_) => "the login with a token".to_owned(),
        }
    }

    /// The header `Authorization` for a server that takes user and password.
    pub(crate) fn basic(&self) -> Option<String> {
        match &self.0 {
            Kind::Password { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Login {
    /// Leaves out the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.shown())
    }
}

/// Finds logins for registries of a cloud, such as `*.pkg.dev` and `*.dkr.ecr.*.amazonaws.com`, whose tokens come from
/// the credentials of the cloud.
#[async_trait]
pub trait LoginSource: fmt::Debug + Send + Sync {
    /// A login for the registry, which is a host and may have a port; `None` if it is not of this cloud.
    ///
    /// # Errors
    /// The registry is of this cloud, and there are no credentials for it.
    async fn login(&self, registry: &str) -> Result<Option<Login>>;
}

/// Where logins are looked for, in this order: those that were given, the files of Docker and Podman, the sources of
/// clouds. Without any, the registry is asked anonymously.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    given: Vec<(String, Login)>,
    files: Vec<PathBuf>,
    sources: Vec<Arc<dyn LoginSource>>,
}

impl Logins {
    /// No logins.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The files of the environment: `$REGISTRY_AUTH_FILE`, what `podman login` writes below `$XDG_RUNTIME_DIR`, and
    /// `config.json` in `$DOCKER_CONFIG` or `~/.docker`.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = || variable("HOME").map(|home| home.join(".docker"));
        let files = [
            variable("REGISTRY_AUTH_FILE"),
            variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            variable("DOCKER_CONFIG").or_else(docker).map(|folder| folder.join("config.json")),
        ];
        Self { files: files.into_iter().flatten().collect(), ..Self::default() }
    }

    /// Adds a login for a registry: its host, and the port if references name it.
    #[must_use]
    pub fn with(mut self, registry: impl Into<String>, login: Login) -> Self {
        self.given.push((registry.into(), login));
        self
    }

    /// Adds a file in the format of Docker's `config.json`. One that does not exist has no logins.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Adds a source of logins.
    #[must_use]
    pub fn with_source(mut self, source: Arc<dyn LoginSource>) -> Self {
        self.sources.push(source);
        self
    }

    /// The login for a repository.
    ///
    /// # Errors
    /// A file cannot be read or understood, a credential helper fails, or a source has no credentials.
    pub(crate) async fn find(&self, registry: &str, repository: &str) -> Result<Login> {
        if let Some((_, login)) = self.given.iter().find(|(own, _)| own == registry) {
            return Ok(login.clone());
        }
        for file in &self.files {
            if let Some(login) = docker_config::find(file, registry, repository).await? {
                return Ok(login);
            }
        }
        for source in &self.sources {
            if let Some(login) = source.login(registry).await? {
                return Ok(login);
            }
        }
        Ok(Login::anonymous())
    }
}
