//! The errors of operations on objects, from those of the operating system.

use std::io;

use crate::error::{Error, ErrorKind, Retry};

/// The error of an operation on a file of a storage.
pub(super) fn of_file(error: io::Error, doing: &'static str, bucket: &str, key: &str) -> Error {
    let object = format!("object `{key}` in bucket `{bucket}`");
    complete(from_io(&error, doing, &object), doing, bucket, key).with_source(error)
}

/// The error with its meaning and what it was about.
pub(super) fn complete((kind, message, hint): Meaning, doing: &str, bucket: &str, key: &str) -> Error {
    let error = located(Error::new(kind, message), doing, bucket, key);
    let error = error.with_retry(if kind == ErrorKind::Io { Retry::Later } else { Retry::Never });
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The error with the operation and the object that it was about.
pub(super) fn located(error: Error, doing: &str, bucket: &str, key: &str) -> Error {
    error.with_context("operation", doing).with_context("bucket", bucket).with_context("key", key)
}

/// The kind, the message and the hint of an error.
pub(super) type Meaning = (ErrorKind, String, Option<&'static str>);

/// What an error of the operating system means for an object.
pub(super) fn from_io(error: &io::Error, doing: &str, object: &str) -> Meaning {
    use io::ErrorKind as Io;
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return (
            ErrorKind::PermissionDenied,
            format!("cannot {doing} {object}, there is a link in its path"),
            Some("links are not followed to delete something: remove the link, or what it leads to, itself"),
        );
    }
    match error.kind() {
        Io::NotFound => (ErrorKind::NotFound, format!("there is no {object}"), None),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (
            ErrorKind::PermissionDenied,
            format!("not allowed to {doing} {object}, {error}"),
            Some("look at the owner and the mode of the storage folder"),
        ),
        Io::IsADirectory | Io::NotADirectory | Io::AlreadyExists => (
            ErrorKind::InvalidInput,
            format!("cannot {doing} {object}, a part of its key is an object and a folder at once"),
            Some("objects are files in this storage: `a` and `a/b` cannot both exist"),
        ),
        Io::InvalidFilename => (
            ErrorKind::InvalidInput,
            format!("cannot {doing} {object}, its key is too long for a file name"),
            Some("keep every part of a key below 240 bytes"),
        ),
        _ => (ErrorKind::Io, format!("cannot {doing} {object}, {error}"), None),
    }
}
