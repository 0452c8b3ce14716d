//! Folders that only this user may access, and checks of their owners.

use std::{
    env, fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::error::{Error, ErrorKind, Result};

/// The hint of every error about the storage folder.
const HINT: &str = "set `storage_root` in section `localhost` to a folder of yours";
/// The permission bits that let group and others write.
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this bit only the owner of an entry, and the owner of the folder, may rename or
/// remove the entry.
const STICKY: u32 = 0o1000;
/// Folders that all users of a machine share, in addition to `TMPDIR`.
const SHARED: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// The folder for temporary files, as an absolute path: `TMPDIR`, or `/tmp` where that is not set or empty.
/// The path is computed once, so that a later change of the working directory does not change it.
#[must_use]
pub fn temporary_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let named = env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
        let folder = named.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        // Without a working directory the relative path is kept, and its use fails with a clear error.
        std::path::absolute(&folder).unwrap_or(folder)
    })
}

/// The folder of this user for temporary data. [`create_own`] makes it safe. It is named by the user's number:
/// `USER` is not set for every program of a user, and all of them are to find the same jobs.
pub(in crate::storage) fn of_this_user() -> PathBuf {
    temporary_folder().join(format!("lithops-{}", rustix::process::geteuid().as_raw()))
}

/// Creates a folder and its missing parents for this user alone. An existing folder is not changed.
pub(in crate::storage) fn create(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| refuse(folder, &format!("cannot be created, {error}")).with_source(error))
}

/// Creates a folder in a place where all users may write, and makes sure that it belongs to this
/// user. Another user may have created it before, and could read and replace what is stored there.
pub(in crate::storage) fn create_own(folder: &Path) -> Result<()> {
    create(folder)?;
    let metadata = fs::symlink_metadata(folder)
        .map_err(|error| refuse(folder, &format!("cannot be looked at, {error}")).with_source(error))?;
    if !metadata.is_dir() {
        return Err(refuse(folder, "is not a folder"));
    }
    let own = own_user(folder).map_err(|error| {
        refuse(folder, &format!("belongs to another user or cannot be written to, {error}"))
            .with_source(error)
    })?;
    if metadata.uid() != own {
        return Err(refuse(folder, "belongs to another user"));
    }
    if metadata.mode() & OTHERS_WRITE != 0 && !is_of_a_group_of_one(folder, &metadata) {
        // Taking the permissions away now would not tell which files other users have put there before.
        return Err(refuse(folder, "can be written to by other users").with_hint(
            "look at what is in it and remove it, or set `storage_root` in section `localhost` to a folder of yours",
        ));
    }
    check_parents(folder, own)?;
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|error| refuse(folder, "is open to other users").with_source(error))?;
    }
    Ok(())
}

/// Refuses a folder below a shared one when a part of its path belongs to another user, who could
/// replace it with a link. Parts that do not exist are accepted.
pub(in crate::storage) fn check_below_shared(folder: &Path) -> Result<()> {
    let shared = SHARED.iter().map(Path::new).chain([temporary_folder()]);
    // `/tmp` may be a link, and paths may be written in either form.
    let shared = shared.flat_map(|shared| [Some(shared.to_owned()), shared.canonicalize().ok()]).flatten();
    let Some(above) =
        shared.filter(|shared| folder.starts_with(shared)).max_by_key(|path| path.as_os_str().len())
    else {
        return Ok(());
    };
    let mut path = above.clone();
    for part in folder.strip_prefix(&above).unwrap_or(folder) {
        path.push(part);
        let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(()) };
        if !is_trusted(metadata.uid(), effective_user()) {
            let fault = format!("lies below `{}`, which belongs to another user", path.display());
            return Err(refuse(folder, if path == folder { "belongs to another user" } else { &fault }));
        }
    }
    Ok(())
}

/// What other users may do with a folder that the user has configured, as a text for `lithops
/// doctor`; `None` when they may do nothing.
pub(in crate::storage) fn openness(folder: &Path) -> Option<&'static str> {
    let metadata = fs::metadata(folder).ok()?;
    if !is_trusted(metadata.uid(), effective_user()) {
        return Some("belongs to another user");
    }
    match metadata.mode() {
        mode if mode & OTHERS_WRITE != 0 => Some("can be written to by other users"),
        mode if mode & 0o055 != 0 => Some("can be read by other users"),
        _ => None,
    }
}

/// Refuses a folder whose parents other users may write to, because they could replace it with
/// another one. Sticky folders are accepted.
fn check_parents(folder: &Path, own: u32) -> Result<()> {
    let real = folder
        .canonicalize()
        .map_err(|error| refuse(folder, &format!("cannot be looked at, {error}")).with_source(error))?;
    for parent in real.ancestors().skip(1) {
        let metadata = fs::symlink_metadata(parent)
            .map_err(|error| refuse(parent, &format!("cannot be looked at, {error}")).with_source(error))?;
        if !is_trusted(metadata.uid(), own) {
            let fault = format!("lies in `{}`, which belongs to another user", parent.display());
            return Err(refuse(folder, &fault));
        }
        let mode = metadata.mode();
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 && !is_of_a_group_of_one(parent, &metadata) {
            let fault = format!("lies in `{}`, in which other users may replace it", parent.display());
            return Err(refuse(folder, &fault));
        }
    }
    Ok(())
}

/// Whether a folder of this owner is safe: this user, and root, which may be an unmapped user.
fn is_trusted(owner: u32, own: u32) -> bool {
    owner == 0 || owner == own || owner == effective_user() || Some(owner) == unmapped_user()
}

/// Whether the group consists of this user, or root, alone: many systems give every user a group with the
/// user's number. With an access control list the bits of the group include all users in that list.
fn is_of_a_group_of_one(folder: &Path, metadata: &fs::Metadata) -> bool {
    let others = metadata.mode() & 0o002 != 0;
    let mut list = [0; 0];
    let has_list = match rustix::fs::getxattr(folder, "system.posix_acl_access", &mut list) {
        Ok(_) => true,
        Err(error) => error != rustix::io::Errno::NODATA && error != rustix::io::Errno::NOTSUP,
    };
    let group = metadata.gid();
    !others && !has_list && (group == 0 || group == metadata.uid())
}

fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The number that stands for all users outside of this user namespace, including root of the
/// machine; `None` where all users are mapped.
fn unmapped_user() -> Option<u32> {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut words = map.split_whitespace();
    let all = [words.next(), words.next(), words.next()] == [Some("0"), Some("0"), Some("4294967295")];
    let number = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    number.filter(|_| !all).and_then(|number| number.trim().parse().ok())
}

/// The user that owns new files of this process in a folder. A file system may map this to another user.
fn own_user(folder: &Path) -> io::Result<u32> {
    let probe = folder.join(format!(".owner-{}", crate::id::new_uuid()));
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
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn new_folders_are_private_and_old_ones_keep_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        create(&deep).unwrap();
        assert_eq!((mode(&deep), mode(&folder.path().join("a"))), (0o700, 0o700));
        set_mode(&deep, 0o755);
        create(&deep).unwrap();
        assert_eq!((mode(&deep), openness(&deep)), (0o755, Some("can be read by other users")));
        create_own(&deep).unwrap();
        assert_eq!((mode(&deep), openness(&deep)), (0o700, None));
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert_eq!(create_own(&link).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_and_so_is_one_below() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("outer"), folder.path().join("outer/inner"));
        create_own(&inner).unwrap();
        for open in [0o702, 0o777] {
            set_mode(&inner, open);
            let error = create_own(&inner).unwrap_err().to_string();
            assert!(error.contains("can be written to by other users"), "{error}");
            assert_eq!(openness(&inner), Some("can be written to by other users"));
            set_mode(&inner, 0o700);
            set_mode(&outer, open);
            let error = create_own(&inner).unwrap_err().to_string();
            assert!(error.contains("outer`, in which other users may replace it"), "{error}");
            // In a sticky folder only owners may rename and remove, so that this is safe.
            set_mode(&outer, 0o1000 | open);
            create_own(&inner).unwrap();
            set_mode(&outer, 0o700);
        }
    }

    #[test]
    fn what_lies_below_a_shared_folder_must_be_of_this_user() {
        let folder = tempfile::tempdir().unwrap();
        check_below_shared(&folder.path().join("a/b")).unwrap();
        check_below_shared(Path::new("/proc/nowhere")).unwrap();
        assert!(is_trusted(0, 7) && is_trusted(7, 7) && !is_trusted(effective_user() + 7, effective_user()));
        if effective_user() == 0 {
            let foreign = folder.path().join("foreign");
            create(&foreign).unwrap();
            std::os::unix::fs::chown(&foreign, Some(4242), Some(4242)).unwrap();
            for below in [foreign.clone(), foreign.join("deeper")] {
                let error = check_below_shared(&below).unwrap_err().to_string();
                assert!(error.contains("belongs to another user"), "{error}");
                assert!(create_own(&below).is_err());
            }
        }
    }
}
