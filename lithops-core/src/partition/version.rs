//! [`KnownVersion`]: whether an object is still what it was when the job was started.

use std::fmt;

use crate::error::{Error, ErrorKind, Retry};

/// What was known of an object when it was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownVersion<'a> {
    pub(super) size: u64,
    pub(super) mark: Option<&'a str>,
}

impl KnownVersion<'_> {
    /// Whether what is said now, if anything, is no other.
    pub(super) fn allows(&self, size: Option<u64>, mark: Option<&str>) -> bool {
        size.is_none_or(|size| size == self.size) && (mark.is_none() || mark == self.mark)
    }
}

/// A URL without what stands behind its name, which may be a signature.
pub(super) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The error of an object that is not what it was.
pub(super) fn changed(place: &impl fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("`{place}` was changed after the job was started"))
        .with_hint("start the job again when nobody writes to it")
        .with_retry(Retry::Never)
}
