//! The paths of the crate `object_store` for the keys of one bucket.
//!
//! A key becomes a path without any encoding, so that an object has the same name for every other program. A
//! key that a path cannot express is refused here, before the storage could change it silently.

use object_store::path::Path;

use super::listed_key;
use crate::{
    error::Result,
    storage::names::{check_bucket, check_key, refuse},
};

/// The path of an object in its bucket.
pub(super) fn path(bucket: &str, key: &str) -> Result<Path> {
    check_bucket(bucket)?;
    check_key(key)?;
    // Only a path that gives the same key back is accepted, so that the storage lists the object
    // under its key.
    let parsed = Path::parse(key).ok().filter(|path| self::key(path) == key);
    parsed.ok_or_else(|| refuse(key, "cannot be used as a path", "use letters, digits and `/`"))
}

/// The key of a listed path.
pub(super) fn key(path: &Path) -> String {
    listed_key::as_stored(path.as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_is_refused_or_comes_back(key in "(\\PC|[./%#~ \\x00-\\x1f]){0,12}") {
            if let Ok(path) = path("bucket", &key) {
                prop_assert_eq!(super::key(&path), key);
            }
        }
    }
}
