//! [`KnownVersion`]: the version of an object when the job was started.

use std::fmt;

use crate::error::{Error, ErrorKind, Retry};

/// The size in bytes of an object when it was found, and a mark that changes with its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownVersion<'a> {
    pub(super) size: u64,
    pub(super) mark: Option<&'a str>,
}

impl KnownVersion<'_> {
    /// Whether the present size and mark, as far as they are known, are those of this version.
    pub(super) fn allows(&self, size: Option<u64>, mark: Option<&str>) -> bool {
        size.is_none_or(|size| size == self.size) && (mark.is_none() || mark == self.mark)
    }
}

/// A URL without query and fragment, which may contain a signature.
pub(super) fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The error for an object that has changed since the job was started.
pub(super) fn changed(place: &impl fmt::Display) -> Error {
    Error::new(ErrorKind::Io, format!("`{place}` was changed after the job was started"))
        .with_hint("start the job again when nobody writes to it")
        .with_retry(Retry::Never)
}
