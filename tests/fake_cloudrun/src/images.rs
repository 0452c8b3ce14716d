//! [`Images`] that were pushed, and how they are unpacked.

use std::{
    io::{self, Error},
    path::PathBuf,
    sync::Arc,
};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::registry::Registry;

/// The images of a fake, which others may have too.
#[derive(Debug, Clone)]
pub struct Images(Arc<Pushed>);

#[derive(Debug)]
struct Pushed {
    registry: Registry,
    folder: tempfile::TempDir,
}

/// What is started, of an unpacked image.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
}

impl Images {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Pushed { registry: Registry::default(), folder: tempfile::tempdir()? })))
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Unpacks an image, `NAME@sha256:..`, into a folder of its own, unless it is there.
    pub(crate) fn unpack(&self, image: &str) -> io::Result<Unpacked> {
        let (registry, folder) = (&self.0.registry, self.0.folder.path());
        let missing = || Error::other(format!("Image '{image}' not found."));
        let digest = image.split_once('@').ok_or_else(missing)?.1;
        let manifest: Value = serde_json::from_slice(&registry.manifest(digest).ok_or_else(missing)?)?;
        let blob =
            |of: &Value| of["digest"].as_str().and_then(|digest| registry.blob(digest)).ok_or_else(missing);
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])?)?;
        let root = folder.join(digest.replace(':', "-"));
        if !root.exists() {
            let begun = folder.join(uuid::Uuid::new_v4().to_string());
            std::fs::create_dir_all(&begun)?;
            for layer in manifest["layers"].as_array().into_iter().flatten() {
                let bytes = blob(layer)?;
                tar::Archive::new(GzDecoder::new(&bytes[..])).unpack(&begun)?;
            }
            if std::fs::rename(&begun, &root).is_err() && !root.exists() {
                return Err(Error::other("cannot keep the image"));
            }
        }
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
        };
        let mut entry = texts(&config["config"]["Entrypoint"]);
        if entry.is_empty() {
            return Err(Error::other("the image has no entrypoint"));
        }
        let program = root.join(entry.remove(0).trim_start_matches('/'));
        let variables = texts(&config["config"]["Env"]).into_iter();
        let variables = variables
            .filter_map(|one| one.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(Unpacked { program, arguments: entry, variables: variables.collect() })
    }
}
