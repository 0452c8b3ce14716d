//! Keys that a path of `object_store` cannot express, and their form in a listing.
//!
//! A path has no slash at its ends, no empty or relative segments and no control characters. A key
//! `a/` would be listed as `a`, which is another object, and a key `a//b` would end the listing
//! with an error. `listing.rs` encodes such keys in the
//! answers before `object_store` parses them, and this module decodes them.

use object_store::path::Path;

/// The prefix of an encoded key. A key that itself starts with this prefix is encoded too.
const MARK: &str = "\u{f8ff}lithops-key-";

/// The encoded form of a key for a listing that `object_store` parses; `None` if the key needs no encoding.
pub(super) fn as_listed(key: &str) -> Option<String> {
    let is_path = !key.starts_with(MARK) && Path::parse(key).is_ok_and(|path| path.as_ref() == key);
    (!is_path).then(|| {
        let hex = key.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex = hex.filter_map(|digit| char::from_digit(u32::from(digit), 16));
        MARK.chars().chain(hex).collect()
    })
}

/// The key that was stored, from its form in the listing.
pub(super) fn as_stored(listed: &str) -> String {
    let decoded = || {
        let digits = listed.strip_prefix(MARK)?.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let bytes = pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok());
        String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
    };
    decoded().unwrap_or_else(|| listed.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_comes_through_a_listing(key in "(\\PC|[./%#~ \\x00-\\x1f]){0,12}") {
            for key in [key.clone(), format!("{MARK}{key}"), format!("{key}/"), format!("/{key}")] {
                let listed = as_listed(&key).unwrap_or_else(|| key.clone());
                let path = Path::parse(&listed).expect("it is a path");
                prop_assert_eq!(as_stored(path.as_ref()), key);
            }
        }
    }

    #[test]
    fn usual_keys_are_listed_as_they_are() {
        for key in ["a", "logs/2026/a.txt", "a b/#1?", "\u{e4}/..x"] {
            assert_eq!(as_listed(key), None, "{key}");
        }
        for key in ["/", "a/", "/a", "a//b", "a/./b", "../a", "a\u{1}", "a\n/b"] {
            assert!(as_listed(key).is_some(), "{key:?}");
        }
    }
}
