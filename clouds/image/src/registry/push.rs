//! [`Repository::push`]: an image into a registry, without what is there already.

use bytes::Bytes;
use lithops_core::{
    digest::Digest,
    error::{Error, ErrorKind, Result},
};
use reqwest::{Method, StatusCode, Url};

use super::{
    connection::{PUSH, Request},
    failure::unexpected,
    reference::Reference,
    repository::Repository,
};
use crate::image::{Descriptor, Image, LayerContent, oci_digest, types};

/// What a push has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The image in the registry, with tag and digest.
    pub reference: Reference,
    /// The digest of the image.
    pub digest: Digest,
    /// How many layers and configurations were uploaded; those of a base that the registry has are not.
    pub uploads: u64,
    /// How many bytes the uploads had.
    pub bytes: u64,
    /// How many requests were made to the repository, those for tokens included.
    pub requests: u64,
    /// How many of the requests have changed something in the registry.
    pub writes: u64,
}

impl Repository {
    /// Pushes an image under a tag; without one, under the [tag of the image](Image::tag). If the tag is that image
    /// already, this is one request. Only what the repository does not have is uploaded; layers of a base image are taken
    /// over within the registry, or copied from the registry of the base, one by one through memory.
    ///
    /// # Errors
    /// The registry does not answer, refuses the login or the image, or a layer of a base image cannot be fetched.
    pub async fn push(&self, image: &Image, tag: Option<&str>) -> Result<Pushed> {
        let own = image.tag();
        let tag = tag.unwrap_or(&own);
        let before = self.connection.counts();
        let (mut uploads, mut bytes) = (0, 0);
        if self.head(tag, PUSH).await? != Some(image.digest()) {
            for layer in &image.layers {
                if self.has_blob(&layer.descriptor).await? {
                    continue;
                }
                let from = match &layer.content {
                    LayerContent::Base(base) => Some(base.repository.reference()),
                    LayerContent::Own(_) | LayerContent::Known(_) => None,
                };
                if let Some(from) = from
                    && from.registry() == self.reference().registry()
                    && self.mount(&layer.descriptor, from).await?
                {
                    continue;
                }
                self.upload(&layer.descriptor, &layer.bytes().await?).await?;
                uploads += 1;
                bytes += layer.descriptor.size;
            }
            if !self.has_blob(&image.config_descriptor).await? {
                self.upload(&image.config_descriptor, &image.config).await?;
                uploads += 1;
                bytes += image.config_descriptor.size;
            }
            self.put_manifest(tag, image).await?;
        }
        let after = self.connection.counts();
        Ok(Pushed {
            reference: self.reference().with(Some(tag), Some(image.digest())),
            digest: image.digest(),
            uploads,
            bytes,
            requests: after.requests - before.requests,
            writes: after.writes - before.writes,
        })
    }

    /// Takes a part of an image over from another repository of the registry; `false` where that does not work.
    async fn mount(&self, descriptor: &Descriptor, from: &Reference) -> Result<bool> {
        let path = format!("blobs/uploads/?mount={}&from={}", descriptor.digest, from.repository());
        let request = Request::new(Method::POST, path, PUSH);
        // A registry that does not take it over begins an upload instead, which is left to expire.
        // The login may not be for the other repository.
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
        let answer = self.connection.send(&request, &refused).await?;
        Ok(answer.status == StatusCode::CREATED)
    }

    async fn upload(&self, descriptor: &Descriptor, bytes: &Bytes) -> Result<()> {
        // An upload that has failed cannot be gone on with: it begins anew.
        self.connection
            .patiently(|| async {
                let begun =
                    self.connection.once(&Request::new(Method::POST, "blobs/uploads/", PUSH), &[]).await?;
                let location = begun.header("location").and_then(|location| begun.url.join(location).ok());
                let mut location: Url = location
                    .ok_or_else(|| unexpected(PUSH, self.reference(), "it did not say where to upload to"))?;
                location.query_pairs_mut().append_pair("digest", &descriptor.digest);
                let put = Request {
                    content_type: Some("application/octet-stream"),
                    body: Some(bytes.clone()),
                    ..Request::new(Method::PUT, location, PUSH)
                };
                self.connection.once(&put, &[]).await.map(|_| ())
            })
            .await
    }

    async fn put_manifest(&self, tag: &str, image: &Image) -> Result<()> {
        let put = Request {
            content_type: Some(types::MANIFEST),
            body: Some(image.manifest.clone()),
            ..Request::new(Method::PUT, format!("manifests/{tag}"), PUSH)
        };
        let answer = self.connection.send(&put, &[]).await?;
        let own = oci_digest(&image.digest());
        match answer.header("docker-content-digest") {
            Some(stored) if stored != own => Err(Error::new(
                ErrorKind::Unexpected,
                format!(
                    "`{}` was stored as `{stored}`, and is `{own}`",
                    self.reference().with(Some(tag), None)
                ),
            )
            .with_hint("this registry changes images: take another one")),
            _ => Ok(()),
        }
    }
}
