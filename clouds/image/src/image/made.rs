//! [`Image`]: an image that has been made.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use lithops_core::{
    artifact::Machine,
    digest::Digest,
    error::{Error, ErrorKind, Result},
};

use super::{Config, Descriptor, ImageBuilder, Manifest, types};
use crate::registry::Repository;

/// An image that has been made: its layers, its configuration and its manifest. Nothing of it has been written yet.
#[derive(Clone)]
pub struct Image {
    pub(crate) manifest: Bytes,
    pub(crate) config: Bytes,
    pub(crate) config_descriptor: Descriptor,
    pub(crate) layers: Vec<Layer>,
    digest: Digest,
    machine: Machine,
}

/// A layer, and where its bytes are.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) descriptor: Descriptor,
    pub(crate) content: LayerContent,
}

#[derive(Clone)]
pub(crate) enum LayerContent {
    Own(Bytes),
    /// A layer that this process has packed before: it is packed again where its bytes are asked for.
    Known(Arc<ImageBuilder>),
    Base(BaseLayer),
}

/// A layer of a base image, which stays in its registry until it is needed elsewhere.
#[derive(Clone)]
pub(crate) struct BaseLayer {
    pub(crate) repository: Repository,
    /// The descriptor in the base's manifest.
    pub(crate) descriptor: Descriptor,
}

impl Image {
    pub(crate) fn new(config: &Config, layers: Vec<Layer>, machine: Machine) -> Result<Self> {
        let config = json(config)?;
        let config_descriptor = Descriptor::of(types::CONFIG, &config);
        let manifest = json(&Manifest {
            schema_version: 2,
            media_type: types::MANIFEST.to_owned(),
            config: config_descriptor.clone(),
            layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
        })?;
        Ok(Self { digest: Digest::of(&manifest), manifest, config, config_descriptor, layers, machine })
    }

    /// The digest of the manifest, which names the image: the same program makes the same digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A tag for the image: the first 16 digits of its digest.
    #[must_use]
    pub fn tag(&self) -> String {
        let mut tag = self.digest.to_string();
        tag.truncate(16);
        tag
    }

    /// The processor architecture that the image is for.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The size of the image in a registry in bytes: layers, configuration and manifest.
    #[must_use]
    pub fn size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|layer| layer.descriptor.size).sum();
        layers + (self.config.len() + self.manifest.len()) as u64
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("digest", &self.digest)
            .field("machine", &self.machine)
            .field("layers", &self.layers.iter().map(|layer| &layer.descriptor.digest).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Layer {
    /// The bytes of the layer; those of a base image are fetched.
    pub(crate) async fn bytes(&self) -> Result<Bytes> {
        match &self.content {
            LayerContent::Own(bytes) => Ok(bytes.clone()),
            LayerContent::Known(builder) => {
                let (builder, descriptor) = (Arc::clone(builder), self.descriptor.clone());
                let packed = tokio::task::spawn_blocking(move || builder.pack_again(&descriptor)).await;
                packed.unwrap_or_else(|error| {
                    Err(Error::new(ErrorKind::Unexpected, format!("the image was not packed: {error}")))
                })
            }
            LayerContent::Base(base) => base.repository.blob(&base.descriptor).await,
        }
    }
}

pub(crate) fn json(document: &impl serde::Serialize) -> Result<Bytes> {
    let written = serde_json::to_vec(document);
    written.map(Bytes::from).map_err(|error| Error::new(ErrorKind::Unexpected, format!("no JSON: {error}")))
}
