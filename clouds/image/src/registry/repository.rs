//! [`Repository`]: the images of one name in a registry.

use std::sync::Arc;

use bytes::Bytes;
use lithops_core::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::{
    connection::{Connection, PUSH, Request},
    failure::unexpected,
    login::Logins,
    reference::Reference,
};
use crate::image::{Descriptor, parse_digest, types};

/// How many bytes of a list of tags come at once; and the most pages of it that are read.
const PAGE: usize = 1000;
const PAGES: usize = 1000;

/// The images of one name in a registry. Clones share the connections, the login and the counts.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) connection: Arc<Connection>,
}

/// A manifest as a registry gave it.
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Repository {
    /// Finds the login for the repository of the reference. The registry is not asked yet.
    ///
    /// # Errors
    /// The login cannot be read.
    pub async fn open(reference: &Reference, logins: &Logins) -> Result<Self> {
        let login = logins.find(reference.registry(), reference.repository()).await?;
        Ok(Self { connection: Arc::new(Connection::new(reference, login)?) })
    }

    /// The registry and the name of the repository.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        self.connection.to()
    }

    /// How many requests were made since the repository was opened, those for tokens included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.connection.counts().requests
    }

    /// The digest of the image with this tag; `None` if there is none.
    ///
    /// # Errors
    /// The registry does not answer, or refuses.
    pub async fn digest(&self, tag: &str) -> Result<Option<Digest>> {
        self.head(tag, "look at").await
    }

    /// The tags of the repository, in the order of the registry; none if the repository does not exist.
    ///
    /// # Errors
    /// The registry does not answer, or refuses.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let what = "list the tags of";
        let mut all = Vec::new();
        let mut path = format!("tags/list?n={PAGE}");
        for _ in 0..PAGES {
            let answer = self
                .connection
                .send(&Request::new(Method::GET, path, what), &[StatusCode::NOT_FOUND])
                .await?;
            if answer.status == StatusCode::NOT_FOUND {
                break;
            }
            let page: Tags = serde_json::from_slice(&answer.body)
                .map_err(|_| unexpected(what, self.reference(), "its answer is no list of tags"))?;
            all.extend(page.tags.unwrap_or_default());
            let next = answer.header("link").and_then(next_page).and_then(|next| answer.url.join(next).ok());
            // Another host has no part of the list.
            let Some(next) = next.filter(|next| next.origin() == answer.url.origin()) else { break };
            path = next.to_string();
        }
        Ok(all)
    }

    /// Deletes the image with this digest and all its tags; `false` if it was not there. What its layers take up is freed
    /// when the registry collects its garbage.
    ///
    /// # Errors
    /// The registry does not answer, or does not allow it.
    pub async fn delete(&self, digest: Digest) -> Result<bool> {
        let name = self.reference().with(None, Some(digest)).manifest();
        let request = Request::new(Method::DELETE, format!("manifests/{name}"), "delete an image of");
        let answer = self.connection.send(&request, &[StatusCode::NOT_FOUND]).await?;
        Ok(answer.status != StatusCode::NOT_FOUND)
    }

    pub(crate) async fn head(&self, name: &str, what: &'static str) -> Result<Option<Digest>> {
        let request = Request {
            accept: Some(accept()),
            ..Request::new(Method::HEAD, format!("manifests/{name}"), what)
        };
        let answer = self.connection.send(&request, &[StatusCode::NOT_FOUND]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        match answer.header("docker-content-digest").map(parse_digest) {
            Some(Ok(digest)) => Ok(Some(digest)),
            // Not all registries say the digest when they are asked for the headers alone.
            _ => Ok(Some(self.manifest(name, what).await?.digest)),
        }
    }

    pub(crate) async fn manifest(&self, name: &str, what: &'static str) -> Result<Fetched> {
        let request = Request {
            accept: Some(accept()),
            ..Request::new(Method::GET, format!("manifests/{name}"), what)
        };
        let answer = self.connection.send(&request, &[]).await?;
        let digest = Digest::of(&answer.body);
        if let Some(asked) = name.strip_prefix("sha256:") {
            asked.parse::<Digest>()?.is(digest, &format!("{}@{name}", self.reference()))?;
        }
        let media_type = answer.header("content-type").unwrap_or_default().to_owned();
        Ok(Fetched { bytes: answer.body, digest, media_type })
    }

    /// Whether the repository has a part of an image.
    pub(crate) async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        let request = Request::new(Method::HEAD, format!("blobs/{}", descriptor.digest), PUSH);
        let answer = self.connection.send(&request, &[StatusCode::NOT_FOUND]).await?;
        Ok(answer.status != StatusCode::NOT_FOUND)
    }

    /// Fetches a part of an image.
    pub(crate) async fn blob(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let digest = parse_digest(&descriptor.digest)?;
        let name = format!("{}@{}", self.reference(), descriptor.digest);
        let request = Request {
            // An error may have more bytes than a small part.
            answer: descriptor.size.max(64 << 10),
            ..Request::new(Method::GET, format!("blobs/{}", descriptor.digest), "fetch a layer of")
        };
        let answer = self.connection.send(&request, &[]).await?;
        if answer.body.len() as u64 != descriptor.size {
            let message = format!("`{name}` has {} bytes, not {}", answer.body.len(), descriptor.size);
            return Err(Error::new(ErrorKind::Damaged, message).with_hint("push that image again"));
        }
        digest.check(&answer.body, &name)?;
        Ok(answer.body)
    }
}

/// The kinds of manifests that are understood.
fn accept() -> String {
    [types::MANIFEST, types::INDEX, types::DOCKER_MANIFEST, types::DOCKER_INDEX].join(", ")
}

/// The address in a header such as `</v2/a/tags/list?n=1&last=b>; rel="next"`.
fn next_page(header: &str) -> Option<&str> {
    let (address, rest) = header.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("next").then_some(address)
}
