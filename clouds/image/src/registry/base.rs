//! [`BaseImage`]: an image of a registry that a program is laid on.

use lithops_core::{
    artifact::Machine,
    error::{Error, ErrorKind, Result},
};

use super::{reference::Reference, repository::Repository};
use crate::image::{Config, Descriptor, Index, Manifest, types};

const WHAT: &str = "read the base image in";

/// An image of a registry that a program is laid on. Its layers stay there until they are needed elsewhere.
#[derive(Debug, Clone)]
pub struct BaseImage {
    pub(crate) repository: Repository,
    pub(crate) name: String,
    pub(crate) machine: Machine,
    pub(crate) config: Config,
    pub(crate) layers: Vec<Descriptor>,
}

impl Repository {
    /// Reads an image of this repository to lay a program on: its manifest, the one for the architecture where there are
    /// several, and its configuration. `reference` names tag or digest; without them it is `latest`.
    ///
    /// # Errors
    /// The image is not there, has none for the architecture, or the registry does not answer or refuses.
    pub async fn base(&self, reference: &Reference, machine: Machine) -> Result<BaseImage> {
        let name = reference.to_string();
        let mut fetched = self.manifest(&reference.manifest(), WHAT).await?;
        if [types::INDEX, types::DOCKER_INDEX].contains(&fetched.media_type.as_str()) {
            let index: Index = parse(&name, &fetched.bytes)?;
            let chosen = choose(&index, machine).ok_or_else(|| absent(&name, machine))?;
            fetched = self.manifest(&chosen.digest, WHAT).await?;
        }
        if ![types::MANIFEST, types::DOCKER_MANIFEST].contains(&fetched.media_type.as_str()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("`{name}` cannot be a base image: it is of the kind `{}`", fetched.media_type),
            )
            .with_hint("name an image of OCI, or of Docker's schema 2"));
        }
        let manifest: Manifest = parse(&name, &fetched.bytes)?;
        if let Some(foreign) = manifest.layers.iter().find(|layer| layer.media_type.contains("foreign")) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "`{name}` cannot be a base image: its layer `{}` is not in the registry",
                    foreign.digest
                ),
            )
            .with_hint("name an image of Linux"));
        }
        let config: Config = parse(&name, &self.blob(&manifest.config).await?)?;
        if config.architecture != crate::image::architecture(machine) {
            return Err(absent(&name, machine));
        }
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(malformed(&name));
        }
        Ok(BaseImage { repository: self.clone(), name, machine, config, layers: manifest.layers })
    }
}

impl BaseImage {
    /// Whether the image sets a variable of the environment.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        let mut variables = self.config.config.env.iter().flatten();
        variables.any(|one| one.split('=').next() == Some(name))
    }
}

fn choose(index: &Index, machine: Machine) -> Option<&Descriptor> {
    index.manifests.iter().find(|one| {
        one.platform.as_ref().is_some_and(|platform| {
            platform.os == "linux" && platform.architecture == crate::image::architecture(machine)
        })
    })
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|_| malformed(name))
}

fn malformed(name: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("`{name}` cannot be a base image: its description cannot be read"))
        .with_hint("push it again, or name another image")
}

fn absent(name: &str, machine: Machine) -> Error {
    Error::new(ErrorKind::NotFound, format!("`{name}` has no image for {machine} Linux"))
        .with_hint("name another base image, or build the program for the architecture that it has")
}
