//! [`Credentials`]: the secrets of a storage, kept apart from its locator.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{PoisonError, RwLock},
};

use super::Locator;

/// Named secrets of one storage, from its section of the configuration. They are never shown or stored, and
/// are sent only through the private channel from a client to the workers of its own machine.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// Adds a secret; `None` adds nothing.
    #[must_use]
    pub fn with(mut self, name: &str, secret: Option<&str>) -> Self {
        if let Some(secret) = secret {
            self.0.insert(name.to_owned(), secret.to_owned());
        }
        self
    }

    /// The value of a secret, for the code that signs requests with it.
    #[must_use]
    pub fn expose(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The names and values of all secrets, for the private channel.
    #[must_use]
    pub fn expose_all(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, secret)| (name.clone(), secret.clone())).collect()
    }

    /// Whether there are no secrets. The platform's own credentials are used then.
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

/// The credentials of this process, from its configuration or from the client that started it as a
/// worker. The key is the scheme with the endpoint, so that a locator from another program cannot
/// make this process send them to another address.
static GIVEN: RwLock<BTreeMap<Place, Credentials>> = RwLock::new(BTreeMap::new());

/// The scheme and the endpoint of a storage.
type Place = (String, Option<String>);

/// Keeps the credentials of a storage for every later [`connect`](super::connect) of this process.
/// Storages that are already open are not affected.
pub fn give(locator: &Locator, credentials: Credentials) {
    if !credentials.is_empty() {
        GIVEN.write().unwrap_or_else(PoisonError::into_inner).insert(place(locator), credentials);
    }
}

/// The credentials that this process has for a storage; empty if it has none.
pub(super) fn given(locator: &Locator) -> Credentials {
    GIVEN.read().unwrap_or_else(PoisonError::into_inner).get(&place(locator)).cloned().unwrap_or_default()
}

fn place(locator: &Locator) -> Place {
    (locator.scheme.clone(), locator.endpoint.clone())
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

    #[test]
    fn another_address_is_not_given_them() {
        let at = |endpoint: &str| Locator::new("mine", "b").with_endpoint(endpoint).unwrap();
        let credentials = Credentials::default().with("password", Some("hunter2"));
        give(&at("http://a"), credentials.clone());
        give(&at("http://a"), Credentials::default());
        assert_eq!(given(&at("http://a")), credentials);
        assert!(given(&at("http://b")).is_empty());
        assert!(given(&Locator::new("mine", "b")).is_empty());
    }
}
