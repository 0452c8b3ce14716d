//! [`BaseImage`]: an image of a registry that a program is laid on.

use lithops_core::{
    artifact::Machine,
    error::{Error, ErrorKind, Result},
};

use super::{reference::Reference, repository::Repository};
use crate::image::{Config, Descriptor, Index, Manifest, architecture, parse_digest, types};

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
            parse_digest(&chosen.digest)?;
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
        // They become parts of addresses and of paths.
        manifest.layers.iter().try_for_each(|layer| parse_digest(&layer.digest).map(drop))?;
        let config: Config = parse(&name, &self.blob(&manifest.config).await?)?;
        if config.architecture != architecture(machine) {
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
        one.platform
            .as_ref()
            .is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture(machine))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_for_linux_and_the_architecture_is_chosen() {
        let one = |os: &str, architecture: &str, digest: &str| {
            serde_json::json!({
                "mediaType": types::MANIFEST, "digest": digest, "size": 1,
                "platform": { "os": os, "architecture": architecture, "variant": "v8" },
            })
        };
        let index = serde_json::json!({
            "schemaVersion": 2,
            "manifests": [
                one("unknown", "unknown", "a"), one("windows", "amd64", "b"), one("linux", "arm64", "c"),
                one("linux", "amd64", "d"), one("linux", "amd64", "e"),
            ],
        });
        let mut index: Index = parse("x", index.to_string().as_bytes()).unwrap();
        let chosen = |index: &Index, machine| choose(index, machine).map(|one| one.digest.clone());
        assert_eq!(chosen(&index, Machine::X86_64).as_deref(), Some("d"));
        assert_eq!(chosen(&index, Machine::Arm64).as_deref(), Some("c"));
        index.manifests.remove(2);
        assert_eq!(chosen(&index, Machine::Arm64), None);
    }
}
