//! Lists the files of the storage `localhost` as objects.
//!
//! Only entries that may start with the prefix are visited, so that other entries of the bucket
//! cannot disturb the listing. An entry that is not a readable object is an error that names the
//! entry, and is never left out: a link to nothing, a link to a folder that contains it, a pipe, a
//! socket, a device. Lithops' own folders are an exception: they hold no data of users, and an
//! entry that another program has put there must not hide the jobs.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use super::files;
use crate::{
    error::{Error, ErrorKind, Result},
    storage::{ObjectMeta, names, own_keys},
};

/// A file that is being written has a temporary name. It counts as such a file if it changes or
/// disappears within this time.
const WRITING: Duration = Duration::from_secs(2);
/// The pause between two looks at such a file.
const LOOK: Duration = Duration::from_millis(20);

/// The objects of a bucket below `root` whose keys start with the prefix, unsorted. This function blocks.
pub(in crate::storage) fn list(root: &Path, bucket: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
    names::check_bucket(bucket)?;
    let Some(folder) = names::folder_of(prefix) else { return Ok(Vec::new()) };
    let mut walk = Walk { bucket, prefix: prefix.as_bytes(), found: Vec::new(), around: Vec::new() };
    let mut place = root.join(bucket);
    for part in folder.split('/').filter(|part| !part.is_empty()) {
        // Links on the way are followed. If a folder does not exist, the walk finds nothing.
        walk.around.extend(fs::metadata(&place).ok().as_ref().map(identity));
        place.push(part);
    }
    let key = if folder.is_empty() { Vec::new() } else { format!("{folder}/").into_bytes() };
    walk.folder(&place, &key)?;
    Ok(walk.found)
}

/// The state of one listing.
struct Walk<'a> {
    bucket: &'a str,
    prefix: &'a [u8],
    found: Vec<ObjectMeta>,
    /// The device and inode of each folder that contains the one that is visited, to detect links
    /// that lead back.
    around: Vec<(u64, u64)>,
}

impl Walk<'_> {
    /// Visits a folder; `key` is the prefix of the keys of all its entries.
    fn folder(&mut self, folder: &Path, key: &[u8]) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // Nothing has been stored there, or the folder has just been removed.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(self.cannot(folder, &error)),
        };
        let here = fs::metadata(folder).ok().as_ref().map(identity);
        self.around.extend(here);
        for entry in entries {
            let entry = entry.map_err(|error| self.cannot(folder, &error))?;
            let key = [key, entry.file_name().as_bytes()].concat();
            let below = [&key[..], b"/"].concat();
            let may_be = key.starts_with(self.prefix);
            let may_hold = below.starts_with(self.prefix) || self.prefix.starts_with(&below);
            if may_be || may_hold {
                self.entry(&entry, &key, may_be, may_hold)?;
            }
        }
        if here.is_some() {
            self.around.pop();
        }
        Ok(())
    }

    /// Visits an entry; `may_be` is whether its own key can match the prefix, `may_hold` whether a
    /// key below it can.
    fn entry(&mut self, entry: &fs::DirEntry, key: &[u8], may_be: bool, may_hold: bool) -> Result<()> {
        let path = &*entry.path();
        let is_own = key.split(|byte| *byte == b'/').rev().skip(1).any(own_keys::is_own_folder);
        let is_link = match entry.file_type() {
            Ok(kind) => kind.is_symlink(),
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(self.cannot(path, &error)),
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(_) if is_own || !may_be => return Ok(()),
            // The entry may have been removed between the two system calls.
            Err(error) if is_absent(&error) && !is_link => return Ok(()),
            Err(error) if is_link => {
                return Err(self.no_object(path, &format!("is a link that leads nowhere, {error}")));
            }
            Err(error) => return Err(self.cannot(path, &error)),
        };
        if metadata.is_dir() {
            // Objects below a job may be deleted after they were listed, and the deletion does not
            // follow links.
            if !may_hold || is_own && is_link {
                return Ok(());
            }
            if self.around.contains(&identity(&metadata)) {
                return Err(self.no_object(path, "is a link to a folder that it is in"));
            }
            return self.folder(path, &[key, b"/"].concat());
        }
        if !may_be || is_own && !metadata.is_file() {
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(self.no_object(path, "is neither a file nor a folder"));
        }
        let name =
            std::str::from_utf8(key).map_err(|_| self.no_object(path, "has a name that is not UTF-8"))?;
        if files::is_staged(name) && (is_own || is_being_written(path, &metadata)) {
            return Ok(());
        }
        self.found.push(describe(name, &metadata));
        Ok(())
    }

    fn cannot(&self, path: &Path, error: &io::Error) -> Error {
        let kind = Error::from(io::Error::from(error.kind())).kind();
        self.located(Error::new(kind, format!("cannot list `{}`, {error}", path.display())))
            .with_hint("look at the owner and the mode of the storage folder")
    }

    fn no_object(&self, path: &Path, what: &str) -> Error {
        self.located(Error::new(ErrorKind::Unsupported, format!("`{}` {what}", path.display())))
            .with_hint("it is no object: remove it, or list another prefix")
    }

    fn located(&self, error: Error) -> Error {
        error
            .with_context("operation", "list")
            .with_context("bucket", self.bucket)
            .with_context("key", String::from_utf8_lossy(self.prefix))
    }
}

/// Whether the file disappears or changes shortly after it was found: then its writer renames it,
/// or is still writing.
fn is_being_written(path: &Path, seen: &fs::Metadata) -> bool {
    let age = seen.modified().ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
    let (begun, wait) = (Instant::now(), WRITING.saturating_sub(age));
    loop {
        match fs::symlink_metadata(path) {
            Ok(now)
                if (identity(&now), now.len(), now.mtime_nsec())
                    != (identity(seen), seen.len(), seen.mtime_nsec()) =>
            {
                return true;
            }
            Ok(_) if begun.elapsed() < wait => thread::sleep(LOOK),
            Ok(_) => return false,
            Err(_) => return true,
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The device and the inode of an entry.
fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Describes the file of an object.
pub(super) fn describe(key: &str, metadata: &fs::Metadata) -> ObjectMeta {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let micros = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let etag = format!("\"{:x}-{micros:x}-{:x}\"", metadata.ino(), metadata.len());
    ObjectMeta { key: key.to_owned(), size: metadata.len(), modified, etag: Some(etag) }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
