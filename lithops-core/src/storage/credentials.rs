//! [`Credentials`]: what opens a storage, kept apart from where it is.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, RwLock},
};

/// Named secrets of one storage, as its section of the configuration has them. Nothing shows or stores them; the one
/// way they travel is the private channel from a client to the workers of its own machine.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// Adds a secret, if there is one.
    #[must_use]
    pub fn with(mut self, name: &str, secret: Option<&str>) -> Self {
        if let Some(secret) = secret {
            self.0.insert(name.to_owned(), secret.to_owned());
        }
        self
    }

    /// A secret, for whoever signs with it.
    #[must_use]
    pub fn expose(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, for the private channel.
    #[must_use]
    pub fn expose_all(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, secret)| (name.clone(), secret.clone())).collect()
    }

    /// Whether there are none, so that the platform's own are used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for Credentials {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What this process was given by whoever started it as a worker, by storage.
static GIVEN: RwLock<BTreeMap<String, Credentials>> = RwLock::new(BTreeMap::new());

/// Keeps what opens the storage `scheme`, for every [`connect`](super::connect) of this process.
pub fn give(scheme: &str, credentials: Credentials) {
    GIVEN.write().unwrap_or_else(PoisonError::into_inner).insert(scheme.to_owned(), credentials);
}

/// What this process was given for the storage `scheme`; empty otherwise.
#[must_use]
pub(crate) fn given(scheme: &str) -> Credentials {
    GIVEN.read().unwrap_or_else(PoisonError::into_inner).get(scheme).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials =
            Credentials::default().with("secret_access_key", Some("hunter2")).with("token", None);
        assert_eq!(format!("{credentials:?}"), r#"{"secret_access_key"}"#);
        assert_eq!(credentials.expose("secret_access_key"), Some("hunter2"));
        assert_eq!(credentials.expose_all().into_iter().collect::<Credentials>(), credentials);
    }
}
