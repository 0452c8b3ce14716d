//! What the errors of `object_store` mean here.

use std::{error::Error as StdError, io};

use object_store::Error as StoreError;

use crate::error::{Error, ErrorKind, Retry};

/// Turns an error of `object_store` about one object into ours.
pub(super) fn translate(error: StoreError, doing: &'static str, bucket: &str, key: &str) -> Error {
    let object = format!("object `{key}` in bucket `{bucket}`");
    let failed = || format!("cannot {doing} {object}");
    let (kind, message, hint): Meaning = match &error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, format!("there is no {object}"), None),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            (ErrorKind::AlreadyExists, format!("{object} exists already"), None)
        }
        StoreError::InvalidPath { .. } => {
            (ErrorKind::InvalidInput, format!("{}, the storage cannot hold such a key", failed()), None)
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            (ErrorKind::PermissionDenied, format!("not allowed to {doing} {object}"), None)
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, failed(), None)
        }
        _ => match io_error(&error) {
            Some(cause) => from_io(cause, doing, &object),
            None => (ErrorKind::Io, format!("{}, {}", failed(), innermost(&error)), None),
        },
    };
    let error = Error::new(kind, message)
        .with_context("operation", doing)
        .with_context("bucket", bucket)
        .with_context("key", key)
        .with_retry(if kind == ErrorKind::Io { Retry::Later } else { Retry::Never })
        .with_source(error);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The error of the operating system below an error, if there is one.
pub(super) fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

type Meaning = (ErrorKind, String, Option<&'static str>);

fn from_io(error: &io::Error, doing: &str, object: &str) -> Meaning {
    use io::ErrorKind as Io;
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

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}
