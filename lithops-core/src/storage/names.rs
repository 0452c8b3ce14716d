//! Which bucket names and keys the storages accept.

use crate::error::{Error, ErrorKind, Result};

/// The folder part of a prefix, which holds all files with the prefix; `None` if no file can start
/// with the prefix.
pub(super) fn folder_of(prefix: &str) -> Option<&str> {
    let (folder, _) = prefix.rsplit_once('/').unwrap_or_default();
    let leads_on = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    (folder.is_empty() && !prefix.starts_with('/') || folder.split('/').all(leads_on)).then_some(folder)
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

/// Checks a key.
///
/// # Errors
/// `InvalidInput` when it is no path of segments with names.
pub(super) fn check_key(key: &str) -> Result<()> {
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

/// The error of a key that cannot be used.
pub(super) fn refuse(key: &str, fault: &str, hint: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the key `{}` {fault}", key.escape_debug())).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_one_part() {
        for bucket in ["", ".", "..", "a/b", "a\\b", "a\0"] {
            assert_eq!(check_bucket(bucket).unwrap_err().kind(), ErrorKind::InvalidInput, "{bucket:?}");
        }
    }
}
