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
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{
            fs::{PermissionsExt, symlink},
            net::UnixListener,
        },
        path::PathBuf,
        sync::Arc,
    };

    use rustix::{
        fs::{CWD, FileType, Mode, mknodat},
        process::Uid,
        thread::set_thread_uid,
    };

    use super::*;
    use crate::storage::{FileStorage, StorageClient};

    /// Creates an entry at a path.
    type Make = fn(&Path);

    /// A bucket `b` with an object `a`.
    fn bucket() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let bucket = root.path().join("b");
        fs::create_dir_all(bucket.join("x/y")).unwrap();
        fs::write(bucket.join("a"), "1").unwrap();
        fs::write(bucket.join("x/y/z"), "22").unwrap();
        (root, bucket)
    }

    fn keys(root: &Path, prefix: &str) -> Vec<String> {
        let mut keys: Vec<_> =
            list(root, "b", prefix).unwrap().into_iter().map(|object| object.key).collect();
        keys.sort_unstable();
        keys
    }

    fn fault(root: &Path, prefix: &str) -> String {
        list(root, "b", prefix).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_is_listed_is_what_is_found_by_its_key() {
        let (root, bucket) = bucket();
        symlink(bucket.join("x/y/z"), bucket.join("x/link")).unwrap();
        let storage = StorageClient::new(Arc::new(FileStorage::new(root.path()).unwrap()), "b");
        storage.put_object("b", "x/y/new", "333").await.unwrap();
        let listed = storage.list_objects("b", "").await.unwrap();
        assert_eq!(
            listed.iter().map(|object| &object.key[..]).collect::<Vec<_>>(),
            ["a", "x/link", "x/y/new", "x/y/z"]
        );
        for object in listed {
            assert_eq!(storage.head_object("b", &object.key).await.unwrap(), object);
        }
    }

    #[test]
    fn every_prefix_gives_what_starts_so() {
        let (root, _bucket) = bucket();
        for (prefix, found) in [
            ("", vec!["a", "x/y/z"]),
            ("a", vec!["a"]),
            ("a/", vec![]),
            ("x", vec!["x/y/z"]),
            ("x/", vec!["x/y/z"]),
            ("x/y", vec!["x/y/z"]),
            ("x/y/z", vec!["x/y/z"]),
            ("x/y/zz", vec![]),
            ("nothing/here", vec![]),
            ("/", vec![]),
            ("../b/", vec![]),
            ("x//y", vec![]),
        ] {
            assert_eq!(keys(root.path(), prefix), found, "{prefix}");
        }
        assert!(list(root.path(), "none", "").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_is_named_and_in_nobodys_way_elsewhere() {
        let (root, bucket) = bucket();
        let things: [(&str, Make); 5] = [
            ("loop", |place| symlink("..", place).unwrap()),
            ("self", |place| symlink("self", place).unwrap()),
            ("broken", |place| symlink("nowhere", place).unwrap()),
            ("pipe", |place| mknodat(CWD, place, FileType::Fifo, Mode::RUSR, 0).unwrap()),
            ("socket", |place| drop(UnixListener::bind(place).unwrap())),
        ];
        for (name, make) in things {
            let place = bucket.join("x").join(name);
            make(&place);
            for prefix in ["", "x/", &format!("x/{name}")] {
                let fault = fault(root.path(), prefix);
                assert!(fault.contains(place.to_str().unwrap()), "{prefix}: {fault}");
            }
            assert_eq!(keys(root.path(), "a"), ["a"]);
            assert_eq!(keys(root.path(), "x/y/"), ["x/y/z"]);
            fs::remove_file(place).unwrap();
        }
        let name = OsStr::from_bytes(b"x/\xff");
        fs::write(bucket.join(name), "").unwrap();
        assert!(fault(root.path(), "x").contains("not UTF-8"));
        assert_eq!(keys(root.path(), "a"), ["a"]);
    }

    #[test]
    fn a_folder_that_may_not_be_read_is_named() {
        let (root, bucket) = bucket();
        let (x, mode) = (bucket.join("x"), |mode| fs::Permissions::from_mode(mode));
        fs::set_permissions(root.path(), mode(0o755)).unwrap();
        fs::set_permissions(&x, mode(0o000)).unwrap();
        let place = root.path().to_owned();
        let looked = thread::spawn(move || {
            // A user who may read everything becomes another user, in this thread only.
            let _ = set_thread_uid(Uid::from_raw(65534));
            (fault(&place, ""), fault(&place, "x/y/"), keys(&place, "a"))
        });
        let (all, below, other) = looked.join().unwrap();
        fs::set_permissions(&x, mode(0o755)).unwrap();
        assert!(all.contains(x.to_str().unwrap()) && all.contains("denied"), "{all}");
        assert!(below.contains(x.join("y").to_str().unwrap()) && below.contains("denied"), "{below}");
        assert_eq!(other, ["a"]);
    }

    #[test]
    fn in_a_jobs_folder_only_files_count() {
        let (root, bucket) = bucket();
        let job = bucket.join("some/lithops.jobs/1");
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("record"), "").unwrap();
        fs::write(job.join("inputs#1"), "").unwrap();
        symlink("nowhere", job.join("broken")).unwrap();
        symlink(bucket.join("x"), job.join("elsewhere")).unwrap();
        symlink("..", job.join("loop")).unwrap();
        mknodat(CWD, job.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(keys(root.path(), "some/"), ["some/lithops.jobs/1/record"]);
    }

    #[test]
    fn a_file_that_is_named_like_an_unfinished_one_is_listed_unless_it_is_one() {
        let (root, bucket) = bucket();
        fs::write(bucket.join("report#1"), "1").unwrap();
        assert_eq!(keys(root.path(), ""), ["a", "report#1", "x/y/z"]);
        let unfinished = bucket.join("new#1");
        fs::write(&unfinished, "1").unwrap();
        let seen = fs::symlink_metadata(&unfinished).unwrap();
        fs::write(&unfinished, "12").unwrap();
        assert!(is_being_written(&unfinished, &seen));
        fs::rename(&unfinished, bucket.join("new")).unwrap();
        assert!(is_being_written(&unfinished, &seen));
    }
}
