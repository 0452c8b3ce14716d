//! [`Output`]: an image as files, in the OCI image layout.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use lithops_core::error::{Error, ErrorKind, Result};
use serde_json::json;
use tar::EntryType;

use super::{Descriptor, Image, Index, documents::Platform, made, types};
use crate::image::builder::architecture;

/// Where an image is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `oci:DIR`, a folder in the OCI image layout, for `skopeo` and others.
    Folder(PathBuf),
    /// `tar:FILE`, the same as one file, for `ctr images import`, `podman load`, `docker load` and
    /// `kind load image-archive`.
    Archive(PathBuf),
}

impl FromStr for Output {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("oci", folder)) if !folder.is_empty() => Ok(Self::Folder(folder.into())),
            Some(("tar", file)) if !file.is_empty() => Ok(Self::Archive(file.into())),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("`{text}` is no place for an image"))
                .with_hint("write `oci:DIR` for a folder or `tar:FILE` for one file")),
        }
    }
}

impl Output {
    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        let (Self::Folder(path) | Self::Archive(path)) = self;
        path
    }

    /// How many bytes what is there has.
    ///
    /// # Errors
    /// When it is not there, or cannot be looked at.
    pub fn size(&self) -> Result<u64> {
        let folder = match self {
            Self::Archive(file) => return Ok(fs::metadata(file)?.len()),
            Self::Folder(folder) => folder.join("blobs/sha256"),
        };
        let mut size = 0;
        for blob in fs::read_dir(folder)? {
            size += blob?.metadata()?.len();
        }
        Ok(size)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "oci:{}", folder.display()),
            Self::Archive(file) => write!(f, "tar:{}", file.display()),
        }
    }
}

impl Image {
    /// Writes the image to files, under a name such as `example.com/app:1`. Layers of a base image are fetched from its
    /// registry, one by one into memory. What is in a folder already stays; another image of the same name is not listed any more.
    ///
    /// # Errors
    /// The files cannot be written, or a layer cannot be fetched.
    pub async fn write(&self, output: &Output, name: &str) -> Result<()> {
        match output {
            Output::Folder(folder) => self.write_folder(folder, name).await,
            Output::Archive(file) => self.write_archive(file, name).await,
        }
        .map_err(|error| error.with_context("output", output.to_string()))
    }

    async fn write_folder(&self, folder: &Path, name: &str) -> Result<()> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|error| unwritten(&blobs, &error))?;
        for layer in &self.layers {
            let path = folder.join(blob_path(&layer.descriptor));
            let is_there = fs::metadata(&path).is_ok_and(|found| found.len() == layer.descriptor.size);
            if !is_there {
                replace(&path, &layer.bytes().await?)?;
            }
        }
        for (descriptor, bytes) in
            [(&self.config_descriptor, &self.config), (&self.descriptor(), &self.manifest)]
        {
            replace(&folder.join(blob_path(descriptor)), bytes)?;
        }
        let mut index =
            Index { schema_version: 2, media_type: types::INDEX.to_owned(), manifests: Vec::new() };
        let place = folder.join("index.json");
        match fs::read(&place) {
            Ok(before) => {
                index = serde_json::from_slice(&before).map_err(|error| {
                    Error::new(ErrorKind::InvalidInput, format!("`{}` is no index: {error}", place.display()))
                        .with_hint("name another folder")
                })?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritten(&place, &error)),
        }
        let own = self.listed(name);
        index.manifests.retain(|other| other.annotations.get(REF_NAME).map(String::as_str) != Some(name));
        index.manifests.push(own);
        replace(&folder.join("oci-layout"), LAYOUT.as_bytes())?;
        // The index comes last: what it lists is there.
        replace(&place, &made::json(&index)?)
    }

    async fn write_archive(&self, file: &Path, name: &str) -> Result<()> {
        let temporary = beside(file);
        let written = self.write_archive_to(&temporary, name).await;
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        fs::rename(&temporary, file).map_err(|error| unwritten(file, &error))
    }

    async fn write_archive_to(&self, file: &Path, name: &str) -> Result<()> {
        let opened = fs::File::create(file).map_err(|error| unwritten(file, &error))?;
        let mut archive = tar::Builder::new(io::BufWriter::new(opened));
        let mut add = |path: &str, bytes: &[u8]| {
            let is_folder = path.ends_with('/');
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(if is_folder { EntryType::Directory } else { EntryType::Regular });
            header.set_mode(if is_folder { 0o755 } else { 0o644 });
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, path, bytes).map_err(|error| unwritten(file, &error))
        };
        // `skopeo` gives folders that are not listed to root, which other users may not do.
        add("blobs/", &[])?;
        add("blobs/sha256/", &[])?;
        add("oci-layout", LAYOUT.as_bytes())?;
        let index = Index {
            schema_version: 2,
            media_type: types::INDEX.to_owned(),
            manifests: vec![self.listed(name)],
        };
        add("index.json", &made::json(&index)?)?;
        // An older `docker load` reads this list in place of the index.
        let layers: Vec<_> = self.layers.iter().map(|layer| blob_path(&layer.descriptor)).collect();
        let list =
            json!([{ "Config": blob_path(&self.config_descriptor), "Layers": layers, "RepoTags": [name] }]);
        add("manifest.json", &made::json(&list)?)?;
        add(&blob_path(&self.descriptor()), &self.manifest)?;
        add(&blob_path(&self.config_descriptor), &self.config)?;
        let mut added = Vec::new();
        for layer in &self.layers {
            let path = blob_path(&layer.descriptor);
            if !added.contains(&path) {
                add(&path, &layer.bytes().await?)?;
                added.push(path);
            }
        }
        let finished = archive.into_inner().and_then(|mut inner| inner.flush());
        finished.map_err(|error| unwritten(file, &error))
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(types::MANIFEST, &self.manifest)
    }

    fn listed(&self, name: &str) -> Descriptor {
        let names = [REF_NAME, "io.containerd.image.name"];
        Descriptor {
            platform: Some(Platform {
                architecture: architecture(self.machine()).to_owned(),
                os: "linux".to_owned(),
            }),
            annotations: names.map(|key| (key.to_owned(), name.to_owned())).into(),
            ..self.descriptor()
        }
    }
}

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where a part of an image is in a layout.
fn blob_path(descriptor: &Descriptor) -> String {
    format!("blobs/{}", descriptor.digest.replacen(':', "/", 1))
}

/// Writes a file as a whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = beside(path);
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|error| unwritten(path, &error))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    name.into()
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    let kind = Error::from(io::Error::from(error.kind())).kind();
    Error::new(kind, format!("cannot write `{}`: {error}", path.display()))
        .with_hint("name another place, or make room there")
}
