//! [`Package`]: the code of a function.

use std::{
    fs,
    io::{self, Cursor, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::api::ApiError;

/// The most bytes of a package.
pub(crate) const ZIPPED_LIMIT: u64 = 50 * 1024 * 1024;
/// The most bytes of what is in a package.
pub(crate) const UNPACKED_LIMIT: u64 = 250 * 1024 * 1024;

/// Code that was unpacked.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Where it is.
    pub(crate) root: PathBuf,
    /// How long the package was.
    pub(crate) size: u64,
    /// The digest of the package, in base64.
    pub(crate) sha256: String,
}

impl Package {
    /// Unpacks all files with their modes into a new folder.
    pub(crate) fn unpack(bytes: &[u8], root: &Path) -> Result<Self, ApiError> {
        let size = bytes.len() as u64;
        if size > ZIPPED_LIMIT {
            return Err(ApiError::too_large(format!("Zip file must be smaller than {ZIPPED_LIMIT} bytes")));
        }
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
        if archive.index_for_name("bootstrap").is_none() {
            return Err(ApiError::invalid_parameter("the package has no file `bootstrap`"));
        }
        let mut room = UNPACKED_LIMIT;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
            let path = entry.enclosed_name().ok_or_else(|| unreadable(&"a path leads out of it"))?;
            if entry.is_dir() {
                continue;
            }
            // A packer that knows of no modes means that its programs can be run.
            let mode = entry.unix_mode().unwrap_or(0o755) & 0o777;
            let written = write(&mut entry, &root.join(path), mode, room)
                .map_err(|error| ApiError::service(format!("cannot unpack: {error}")))?;
            let written = written.ok_or_else(|| {
                ApiError::invalid_parameter(format!(
                    "Unzipped size must be smaller than {UNPACKED_LIMIT} bytes"
                ))
            })?;
            room -= written;
        }
        let sha256 = BASE64_STANDARD.encode(Sha256::digest(bytes));
        Ok(Self { root: root.to_owned(), size, sha256 })
    }
}

/// Writes a file, and says how long it is, unless that is more than there is room for.
fn write(content: &mut impl io::Read, path: &Path, mode: u32, room: u64) -> io::Result<Option<u64>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::File::create(path)?;
    let written = io::copy(&mut content.take(room + 1), &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok((written <= room).then_some(written))
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid_parameter(format!("Could not unzip uploaded file: {error}"))
}
