//! [`Tokens`]: access tokens for the services of Google, and ID tokens by which a service of the user's knows a caller.

use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

use google_cloud_auth::{
    build_errors::Error as BuilderError,
    credentials::{
        AccessTokenCredentials, Credentials, external_account, idtoken, idtoken::IDTokenCredentials,
        impersonated, mds, service_account, user_account,
    },
    errors::CredentialsError,
};
use lithops_core::error::{Error, ErrorKind, Result, Retry};
use serde_json::Value;

use crate::{
    KeyFile, KeyKind,
    assertion::{Assertion, Purpose},
};

/// What access tokens are for. Roles of the identity say what it may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// The tokens of one identity. They are kept, and made anew some minutes before they expire.
pub struct Tokens {
    key: Option<KeyFile>,
    invoker: Option<String>,
    access: Mutex<Option<AccessTokenCredentials>>,
    ids: Mutex<HashMap<String, IDTokenCredentials>>,
    assertion: OnceLock<Assertion>,
}

impl Tokens {
    /// The tokens of a file of credentials, or without one those of the metadata server. ID tokens are those of
    /// `invoker`, a service account, if one is given: the identity must be allowed to act as it.
    #[must_use]
    pub fn new(key: Option<KeyFile>, invoker: Option<String>) -> Self {
        Self { key, invoker, access: Mutex::default(), ids: Mutex::default(), assertion: OnceLock::new() }
    }

    /// Whose the tokens are, for messages.
    #[must_use]
    pub fn whose(&self) -> String {
        match &self.key {
            Some(KeyFile { client_email: Some(email), .. }) => format!("the service account `{email}`"),
            Some(file) => match file.kind {
                KeyKind::AuthorizedUser => format!("the user of `{}`", file.path.display()),
                _ => format!("the identity of `{}`", file.path.display()),
            },
            None => "the service account of this machine".to_owned(),
        }
    }

    /// An access token. Must be called inside a runtime that stays, which renews the token.
    ///
    /// # Errors
    /// There are no credentials, or they are not accepted.
    pub async fn access(&self) -> Result<String> {
        if let Some(file) = self.key.as_ref().filter(|file| file.kind == KeyKind::ServiceAccount) {
            return self.assertion(file)?.token(Purpose::Access(SCOPE), false).await;
        }
        let credentials = {
            let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
            match &*access {
                Some(credentials) => credentials.clone(),
                None => access.insert(self.access_credentials()?).clone(),
            }
        };
        let token = credentials.access_token().await;
        token.map(|token| token.token).map_err(|error| self.no_token("an access token", &error))
    }

    /// An ID token for an audience. `anew` says that the last one was not accepted.
    ///
    /// # Errors
    /// As for [`access`](Self::access); and the login of a user gives no ID tokens.
    pub async fn id(&self, audience: &str, anew: bool) -> Result<String> {
        if let (None, Some(file)) = (&self.invoker, &self.key)
            && file.kind == KeyKind::ServiceAccount
        {
            return self.assertion(file)?.token(Purpose::Id(audience), anew).await;
        }
        let credentials = {
            let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            if anew {
                ids.remove(audience);
            }
            match ids.get(audience) {
                Some(credentials) => credentials.clone(),
                None => {
                    let made = self.id_credentials(audience)?;
                    ids.insert(audience.to_owned(), made.clone());
                    made
                }
            }
        };
        let token = credentials.id_token().await;
        token.map_err(|error| self.no_token(&format!("an ID token for `{audience}`"), &error))
    }

    /// What the key of a service account signs.
    fn assertion(&self, file: &KeyFile) -> Result<&Assertion> {
        if let Some(assertion) = self.assertion.get() {
            return Ok(assertion);
        }
        let made = Assertion::of(file)?;
        Ok(self.assertion.get_or_init(|| made))
    }

    fn json(file: &KeyFile) -> Result<Value> {
        // What the parser says would quote the file.
        serde_json::from_str(file.expose()).map_err(|_| {
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("`{}` is no JSON of credentials", file.path.display()),
            )
        })
    }

    fn access_credentials(&self) -> Result<AccessTokenCredentials> {
        let Some(file) = &self.key else {
            return mds::Builder::default()
                .build_access_token_credentials()
                .map_err(|error| self.unusable(&error));
        };
        let json = Self::json(file)?;
        let made = match file.kind {
            KeyKind::AuthorizedUser => user_account::Builder::new(json).build_access_token_credentials(),
            KeyKind::ExternalAccount => {
                external_account::Builder::new(json).with_scopes([SCOPE]).build_access_token_credentials()
            }
            KeyKind::ImpersonatedServiceAccount => {
                impersonated::Builder::new(json).with_scopes([SCOPE]).build_access_token_credentials()
            }
            // A key of a service account signs itself.
            KeyKind::ServiceAccount | KeyKind::Other => return Err(unknown(file)),
        };
        made.map_err(|error| self.unusable(&error))
    }

    fn id_credentials(&self, audience: &str) -> Result<IDTokenCredentials> {
        let made = match (&self.invoker, &self.key) {
            (Some(invoker), _) => {
                let source = self.source()?;
                idtoken::impersonated::Builder::from_source_credentials(audience, invoker, source)
                    .with_include_email()
                    .build()
            }
            (None, None) => idtoken::mds::Builder::new(audience).build(),
            (None, Some(file)) => match file.kind {
                KeyKind::ImpersonatedServiceAccount => {
                    idtoken::impersonated::Builder::new(audience, Self::json(file)?)
                        .with_include_email()
                        .build()
                }
                // A key of a service account signs itself.
                KeyKind::ServiceAccount | KeyKind::AuthorizedUser | KeyKind::ExternalAccount => {
                    return Err(self.no_id_tokens());
                }
                KeyKind::Other => return Err(unknown(file)),
            },
        };
        made.map_err(|error| self.unusable(&error))
    }

    /// The identity itself, by which another is impersonated.
    fn source(&self) -> Result<Credentials> {
        let Some(file) = &self.key else {
            return mds::Builder::default().build().map_err(|error| self.unusable(&error));
        };
        let json = Self::json(file)?;
        let made = match file.kind {
            KeyKind::ServiceAccount => service_account::Builder::new(json)
                .with_access_specifier(service_account::AccessSpecifier::from_scopes([SCOPE]))
                .build(),
            KeyKind::AuthorizedUser => user_account::Builder::new(json).build(),
            KeyKind::ExternalAccount => external_account::Builder::new(json).with_scopes([SCOPE]).build(),
            KeyKind::ImpersonatedServiceAccount => {
                impersonated::Builder::new(json).with_scopes([SCOPE]).build()
            }
            KeyKind::Other => return Err(unknown(file)),
        };
        made.map_err(|error| self.unusable(&error))
    }

    /// What everybody meets first who comes from `gcloud auth application-default login`.
    fn no_id_tokens(&self) -> Error {
        let message = format!(
            "{} can make no ID token for a service: Google gives these to service accounts alone",
            self.whose()
        );
        Error::new(ErrorKind::PermissionDenied, message).with_hint(
            "name a service account that may invoke the service: `gcp_cloudrun: {invoker: NAME@PROJECT.iam.gserviceaccount.com}`, \
             and let yourself act as it: `gcloud iam service-accounts add-iam-policy-binding NAME@PROJECT.iam.gserviceaccount.com \
             --member=user:YOU --role=roles/iam.serviceAccountTokenCreator`; or use the JSON key of a service account",
        )
    }

    fn no_token(&self, what: &str, error: &CredentialsError) -> Error {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let next = error.to_string();
            if !words.contains(&next) {
                words = format!("{words}: {next}");
            }
            cause = error.source();
        }
        let hint = match (&self.invoker, &self.key) {
            (Some(invoker), _) => format!(
                "may it act as `{invoker}`? `gcloud iam service-accounts add-iam-policy-binding {invoker} --member=.. \
                 --role=roles/iam.serviceAccountTokenCreator`"
            ),
            (None, Some(_)) => "is the key still valid? look at it in the console of Google, or make a new one".to_owned(),
            (None, None) => {
                "name the JSON key of a service account in `gcp: {credentials_path: ..}`, or run `gcloud auth \
                 application-default login`; the metadata server is on machines of Google alone"
                    .to_owned()
            }
        };
        let retry = if error.is_transient() { Retry::Later } else { Retry::Never };
        Error::new(ErrorKind::PermissionDenied, format!("{} gets no {}: {words}", self.whose(), strip(what)))
            .with_hint(hint)
            .with_retry(retry)
    }

    fn unusable(&self, error: &BuilderError) -> Error {
        Error::new(
            ErrorKind::ConfigInvalid,
            format!("the credentials of {} cannot be used: {error}", self.whose()),
        )
        .with_hint("name the JSON key of a service account as Google's console wrote it")
    }
}

fn strip(what: &str) -> &str {
    what.trim_start_matches("an ")
}

fn unknown(file: &KeyFile) -> Error {
    let message =
        format!("the credentials `{}` are of a type that this version does not know", file.path.display());
    Error::new(ErrorKind::ConfigInvalid, message).with_hint(
        "name the JSON key of a service account, or the file of `gcloud auth application-default login`",
    )
}

impl std::fmt::Debug for Tokens {
    /// Leaves out everything secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("key", &self.key)
            .field("invoker", &self.invoker)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(json: &str, invoker: Option<&str>) -> (tempfile::TempDir, Tokens) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.json");
        std::fs::write(&path, json).expect("a file");
        let key = KeyFile::read(&path).expect("credentials");
        (folder, Tokens::new(Some(key), invoker.map(str::to_owned)))
    }

    const USER: &str =
        r#"{"type":"authorized_user","client_id":"c","client_secret":"hunter2","refresh_token":"hunter3"}"#;

    #[tokio::test]
    async fn a_user_is_told_how_to_get_id_tokens() {
        let (_folder, tokens) = tokens(USER, None);
        let error = tokens.id("https://service.test", false).await.expect_err("users have none");
        let hint = error.hint().expect("a remedy");
        assert!(error.to_string().contains("can make no ID token"), "{error}");
        for word in ["invoker:", "roles/iam.serviceAccountTokenCreator"] {
            assert!(hint.contains(word), "{hint}");
        }
        assert!(!format!("{tokens:?} {error:?}").contains("hunter"));
    }

    #[tokio::test]
    async fn a_broken_key_is_named_and_not_shown() {
        let json = r#"{"type":"service_account","client_email":"a@p.iam","project_id":"p","private_key_id":"i","private_key":"hunter2"}"#;
        let (_folder, tokens) = tokens(json, None);
        let error = tokens.id("https://service.test", false).await.expect_err("it is no key");
        assert!(
            error.to_string().contains("a@p.iam") && !format!("{error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}
