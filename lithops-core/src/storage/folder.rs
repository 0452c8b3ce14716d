//! Folders that only this user may look into.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::error::{Error, ErrorKind, Result};

const HINT: &str = "set `storage_root` in section `localhost` to a folder of yours";

/// Creates a folder, and what is missing above it, for this user alone; one that exists stays as it is.
pub(super) fn create(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| refuse(folder, &format!("cannot be created, {error}")).with_source(error))
}

/// Creates a folder in a place that everybody may write to, and makes sure that it is this user's own: another user
/// may have been first, and would read and replace what is stored.
pub(super) fn create_own(folder: &Path) -> Result<()> {
    create(folder)?;
    let metadata = fs::symlink_metadata(folder)
        .map_err(|error| refuse(folder, &format!("cannot be looked at, {error}")).with_source(error))?;
    if !metadata.is_dir() {
        return Err(refuse(folder, "is not a folder"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};

        let own = own_user(folder).map_err(|error| {
            refuse(folder, &format!("belongs to another user or cannot be written to, {error}"))
                .with_source(error)
        })?;
        if metadata.uid() != own {
            return Err(refuse(folder, "belongs to another user"));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
                .map_err(|error| refuse(folder, "is open to other users").with_source(error))?;
        }
    }
    Ok(())
}

/// The folder of this user for temporary data, which [`create_own`] then makes safe.
pub(super) fn of_this_user() -> PathBuf {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let name: String =
        name.chars().filter(|letter| letter.is_alphanumeric() || "-_.@".contains(*letter)).collect();
    let name = if name.is_empty() { "user" } else { name.as_str() };
    std::env::temp_dir().join(format!("lithops-{name}"))
}

/// Whom this process creates files as: the standard library can only tell by trying.
#[cfg(unix)]
fn own_user(folder: &Path) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt;

    let probe = folder.join(format!(".owner-{}", uuid::Uuid::now_v7()));
    let file = fs::File::create_new(&probe)?;
    let user = file.metadata().map(|metadata| metadata.uid());
    fs::remove_file(&probe)?;
    user
}

fn refuse(folder: &Path, fault: &str) -> Error {
    Error::new(ErrorKind::PermissionDenied, format!("the storage folder `{}` {fault}", folder.display()))
        .with_hint(HINT)
        .with_context("folder", folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_folders_are_private_and_old_ones_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        create(&deep).unwrap();
        assert_eq!((mode(&deep), mode(&folder.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o755)).unwrap();
        create(&deep).unwrap();
        assert_eq!(mode(&deep), 0o755);
        create_own(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert_eq!(create_own(&link).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
