//! Which bucket names and keys an [`ObjectStorage`](super::ObjectStorage) accepts, and their paths.
//!
//! A key becomes a path without any encoding, so that an object has the same name for every other program. A
//! key that a path cannot express is refused here, before the storage could change it silently.

use object_store::path::Path;

use super::objects::listed_key;
use crate::error::{Error, ErrorKind, Result};

/// The path of an object, in a store of all buckets or (`is_bucket`) of one bucket.
pub(super) fn path(bucket: &str, key: &str, is_bucket: bool) -> Result<Path> {
    check_bucket(bucket)?;
    check_key(key)?;
    parse(bucket, key, is_bucket)
        .ok_or_else(|| refuse(key, "cannot be used as a path", "use letters, digits and `/`"))
}

/// The path of the folder that holds all keys with the prefix; `None` if no key can start with the prefix.
pub(super) fn folder(bucket: &str, prefix: &str) -> Result<Option<Path>> {
    check_bucket(bucket)?;
    match prefix.rsplit_once('/') {
        None => Ok(Some(Path::from_iter([bucket]))),
        Some((folder, _)) if check_key(folder).is_err() => Ok(None),
        Some((folder, _)) => Ok(parse(bucket, folder, false)),
    }
}

/// The folder part of a prefix, which holds all files with the prefix; `None` if no file can start
/// with the prefix.
pub(super) fn folder_of(prefix: &str) -> Option<&str> {
    let (folder, _) = prefix.rsplit_once('/').unwrap_or_default();
    let leads_on = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    (folder.is_empty() && !prefix.starts_with('/') || folder.split('/').all(leads_on)).then_some(folder)
}

/// The key of a listed path; `None` if the path is not in the bucket.
pub(super) fn key(bucket: &str, path: &Path, is_bucket: bool) -> Option<String> {
    if is_bucket {
        return Some(listed_key::as_stored(path.as_ref()));
    }
    Some(path.as_ref().strip_prefix(bucket)?.strip_prefix('/')?.to_owned())
}

/// Checks a bucket name, which is one segment of a path.
///
/// # Errors
/// `InvalidInput` when it is empty, a relative path, or contains slashes or control characters.
pub fn check_bucket(bucket: &str) -> Result<()> {
    let fault = match bucket {
        "" => "is empty",
        "." | ".." => "is a relative path",
        _ if bucket.contains(['/', '\\']) => "contains a slash",
        _ if bucket.chars().any(char::is_control) => "contains a control character",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("the bucket name `{}` {fault}", bucket.escape_debug()))
        .with_hint("name one bucket, and put the rest into the key"))
}

fn check_key(key: &str) -> Result<()> {
    let part = |found: fn(&str) -> bool| key.split('/').any(found);
    let (fault, hint) = if key.is_empty() {
        ("is empty", "give the object a name")
    } else if key.starts_with('/') || key.ends_with('/') {
        ("starts or ends with `/`", "leave that slash out")
    } else if part(str::is_empty) {
        ("contains `//`", "write one slash")
    } else if part(|part| part == "." || part == "..") {
        ("contains a relative part", "write the key without `.` and `..` parts")
    } else if key.chars().any(char::is_control) {
        ("contains a control character", "leave it out or encode it")
    } else {
        return Ok(());
    };
    Err(refuse(key, fault, hint))
}

fn refuse(key: &str, fault: &str, hint: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the key `{}` {fault}", key.escape_debug())).with_hint(hint)
}

fn parse(bucket: &str, key: &str, is_bucket: bool) -> Option<Path> {
    let path = if is_bucket { Path::parse(key) } else { Path::parse(format!("{bucket}/{key}")) }.ok()?;
    // Only a path that gives the same key back is accepted, so that the storage lists the object
    // under its key.
    (self::key(bucket, &path, is_bucket).as_deref() == Some(key)).then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_is_refused_or_comes_back(key in "(\\PC|[./%#~ \\x00-\\x1f]){0,12}") {
            for is_bucket in [false, true] {
                if let Ok(path) = path("bucket", &key, is_bucket) {
                    prop_assert_eq!(super::key("bucket", &path, is_bucket), Some(key.clone()));
                }
            }
        }

        #[test]
        fn every_folder_of_a_key_holds_it(key in "[a-z./%]{1,12}", cut in 0usize..12) {
            let prefix = &key[..cut.min(key.len())];
            if let Ok(path) = path("bucket", &key, false) {
                let folder = folder("bucket", prefix).unwrap().unwrap();
                prop_assert!(path.prefix_matches(&folder));
            }
        }
    }

    #[test]
    fn buckets_are_one_part() {
        for bucket in ["", ".", "..", "a/b", "a\\b", "a\0"] {
            assert_eq!(path(bucket, "key", false).unwrap_err().kind(), ErrorKind::InvalidInput, "{bucket:?}");
        }
    }
}
