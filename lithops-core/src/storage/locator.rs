//! [`Locator`]: the address of a storage.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// What a worker needs to open the storage of its job, besides credentials of its own. A locator is
/// sent and logged, so that it must hold no secret.
///
/// Every field is always encoded, because frames are not self-describing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Locator {
    /// The name of the storage, such as `aws_s3`.
    pub scheme: String,
    /// The bucket of jobs and cloud objects.
    pub bucket: String,
    /// The region of the bucket; `None` where the storage has no regions.
    pub region: Option<String>,
    /// The URL of a storage that is not the platform's own; `None` for the platform's own.
    pub endpoint: Option<String>,
    /// The folder of a storage that keeps files in a folder.
    pub root: Option<String>,
}

impl Locator {
    /// A locator with only a scheme and a bucket.
    pub fn new(scheme: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), bucket: bucket.into(), region: None, endpoint: None, root: None }
    }

    /// Sets the region of the bucket.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the URL of the storage.
    ///
    /// # Errors
    /// `ConfigInvalid` when the URL contains credentials.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Result<Self> {
        let endpoint = endpoint.into();
        let address = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
        if address.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            let message =
                format!("the endpoint of storage `{}` holds credentials before its `@`", self.scheme);
            return Err(Error::new(ErrorKind::ConfigInvalid, message)
                .with_hint("write user and password in the keys that the storage has for them"));
        }
        self.endpoint = Some(endpoint);
        Ok(self)
    }

    /// Sets the folder of the storage.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<String>) -> Self {
        self.root = Some(root.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_frames_and_values() {
        let locator = Locator::new("aws_s3", "data").with_region("eu-west-1");
        let locator = locator.with_endpoint("https://s3.example.org/a@b").unwrap();
        let frame = postcard::to_stdvec(&locator).unwrap();
        assert_eq!(postcard::from_bytes::<Locator>(&frame).unwrap(), locator);
        let value = crate::value::encode(&locator).unwrap();
        assert_eq!(crate::value::decode::<Locator>(&value).unwrap(), locator);
    }

    #[test]
    fn takes_no_credentials() {
        let error = Locator::new("minio", "b").with_endpoint("http://user:pass@host:9000").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("pass@"), "{error:?}");
    }
}
