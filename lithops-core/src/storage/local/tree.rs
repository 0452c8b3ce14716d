//! Finds and removes the files below the folder of a storage. Links that are found there are not
//! followed, because the target of a link is not part of the storage. A removal opens every folder
//! relative to the one before it, so that no other process can put a link in its place meanwhile.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, unlinkat},
    io::Errno,
};

/// How often a removal empties a folder that other processes fill again meanwhile.
const ROUNDS: usize = 8;

/// A file: its path relative to the root, and its metadata.
pub(in crate::storage) type FoundFile = (PathBuf, fs::Metadata);
/// An entry that cannot be read: its path relative to the root, and the error.
pub(in crate::storage) type Unreadable = (PathBuf, io::Error);

/// Removes a file or a link. Returns whether there was one. Parent folders that are empty then are
/// removed too.
///
/// # Errors
/// When a folder of the path is a link (`ELOOP`), or the file cannot be removed.
pub(in crate::storage) fn remove_file(root: &Path, path: &Path) -> io::Result<bool> {
    let Some((folders, name)) = parts(path) else { return Ok(false) };
    let Some(above) = descend(root, &folders)? else { return Ok(false) };
    let removed = match unlinkat(last(&above), name, AtFlags::empty()) {
        Ok(()) => true,
        Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) if !is_file(last(&above), name) => false,
        Err(error) => return Err(error.into()),
    };
    remove_empty(&above, &folders);
    Ok(removed)
}

/// Removes a folder with everything in it, links included, and parent folders that are empty then.
/// A folder that does not exist is no error. A link in its place is removed.
///
/// # Errors
/// When a parent folder is a link (`ELOOP`), or an entry cannot be removed.
pub(in crate::storage) fn remove_folder(root: &Path, path: &Path) -> io::Result<()> {
    let Some((folders, name)) = parts(path) else { return Ok(()) };
    let Some(above) = descend(root, &folders)? else { return Ok(()) };
    remove(last(&above), name)?;
    remove_empty(&above, &folders);
    Ok(())
}

/// The files below a folder and the links in it, and the entries that cannot be read.
pub(in crate::storage) fn survey(root: &Path, path: &Path) -> (Vec<FoundFile>, Vec<Unreadable>) {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                unreadable.push((folder, error));
                continue;
            }
        };
        for entry in entries {
            let looked = entry.and_then(|entry| {
                let path = folder.join(entry.file_name());
                Ok((path, entry.metadata()?))
            });
            match looked {
                Ok((path, metadata)) if metadata.is_dir() => folders.push(path),
                Ok((path, metadata)) => found.push((path, metadata)),
                // The entry was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unreadable.push((folder.clone(), error)),
            }
        }
    }
    (found, unreadable)
}

/// The names of the parent folders, and the last name of a path.
fn parts(path: &Path) -> Option<(Vec<&OsStr>, &OsStr)> {
    let mut names: Vec<_> = path.iter().collect();
    let name = names.pop()?;
    Some((names, name))
}

/// Opens the parent folders one from the other, the root first; `None` when one does not exist.
fn descend(root: &Path, folders: &[&OsStr]) -> io::Result<Option<Vec<OwnedFd>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The root itself may be a link, because the configuration names it.
    let opened = match openat(CWD, root, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    let mut above = vec![opened];
    for name in folders {
        match openat(last(&above), *name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(folder) => above.push(folder),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) if is_link(last(&above), name) => return Err(Errno::LOOP.into()),
            Err(Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(above))
}

fn last(folders: &[OwnedFd]) -> &OwnedFd {
    &folders[folders.len() - 1]
}

fn kind(folder: &OwnedFd, name: &OsStr) -> Option<FileType> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

fn is_link(folder: &OwnedFd, name: &OsStr) -> bool {
    kind(folder, name) == Some(FileType::Symlink)
}

fn is_file(folder: &OwnedFd, name: &OsStr) -> bool {
    kind(folder, name).is_some_and(|kind| kind != FileType::Directory)
}

/// Removes an entry of a folder: a file or a link as it is, a folder with everything in it.
fn remove(folder: &OwnedFd, name: &OsStr) -> io::Result<()> {
    for _ in 0..ROUNDS {
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) if kind(folder, name) == Some(FileType::Directory) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = match openat(folder, name, flags, Mode::empty()) {
            Ok(inner) => inner,
            Err(Errno::NOENT) => return Ok(()),
            // The entry has been replaced by a file or a link meanwhile.
            Err(Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in names(&inner)? {
            remove(&inner, &entry)?;
        }
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // Another process has put an entry there meanwhile.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::NOTEMPTY.into())
}

/// The names of all entries. They are read before any entry is removed, because a folder that
/// changes while it is read may leave entries out.
fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Removes the parent folders that are empty, the innermost first. The root is kept.
fn remove_empty(above: &[OwnedFd], folders: &[&OsStr]) {
    for (folder, name) in above.iter().zip(folders).rev() {
        if unlinkat(folder, *name, AtFlags::REMOVEDIR).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A storage with a link to a folder and a link to a file, and the targets of both.
    fn linked() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, precious) = (folder.path().join("root"), folder.path().join("precious"));
        fs::create_dir_all(root.join("bucket/job/inputs")).expect("created");
        fs::create_dir_all(precious.join("deep")).expect("created");
        fs::write(precious.join("deep/keep"), b"x").expect("written");
        fs::write(root.join("bucket/job/inputs/1"), b"x").expect("written");
        fs::write(root.join("bucket/job/inputs/2#1"), b"x").expect("written");
        symlink(&precious, root.join("bucket/job/inputs/link")).expect("linked");
        symlink(precious.join("deep/keep"), root.join("bucket/job/file")).expect("linked");
        (folder, root, precious)
    }

    #[test]
    fn a_folder_goes_with_its_links_and_what_they_lead_to_stays() {
        let (_folder, root, precious) = linked();
        remove_folder(&root, Path::new("bucket/job")).expect("removed");
        assert!(precious.join("deep/keep").is_file());
        assert_eq!(fs::read_dir(&root).expect("the root stays").count(), 0, "what is empty goes");
        remove_folder(&root, Path::new("bucket/job")).expect("it is gone already");
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_removed_and_one_above_it_is_an_error() {
        let (_folder, root, precious) = linked();
        symlink(&precious, root.join("other")).expect("linked");
        let error = remove_folder(&root, Path::new("other/deep")).expect_err("it is behind a link");
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        let error =
            remove_file(&root, Path::new("bucket/job/inputs/link/deep/keep")).expect_err("behind a link");
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert!(precious.join("deep/keep").is_file());
        remove_folder(&root, Path::new("other")).expect("the link is removed");
        assert!(!root.join("other").exists() && precious.join("deep/keep").is_file());
    }

    #[test]
    fn a_file_or_a_link_is_removed_and_a_folder_is_not() {
        let (_folder, root, precious) = linked();
        assert!(remove_file(&root, Path::new("bucket/job/file")).expect("removed"));
        assert!(precious.join("deep/keep").is_file(), "the link was removed");
        for absent in ["bucket/job/file", "bucket/job", "bucket/none/1", "bucket/job/inputs/1/2"] {
            assert!(!remove_file(&root, Path::new(absent)).expect("there is none"), "{absent}");
        }
        assert!(remove_file(&root, Path::new("bucket/job/inputs/1")).expect("removed"));
        assert!(root.join("bucket/job/inputs/2#1").exists());
    }

    #[test]
    fn a_survey_tells_of_everything_but_what_links_lead_to() {
        let (_folder, root, _) = linked();
        let (mut found, unreadable) = survey(&root, Path::new("bucket"));
        found.sort_by(|left, right| left.0.cmp(&right.0));
        let found: Vec<_> = found.iter().map(|(path, _)| path.to_str().expect("UTF-8")).collect();
        let inputs = ["1", "2#1", "link"].map(|name| format!("bucket/job/inputs/{name}"));
        assert_eq!(found, [&["bucket/job/file".to_owned()], &inputs[..]].concat());
        assert!(unreadable.is_empty());
    }
}
