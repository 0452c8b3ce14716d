//! Translates the errors of `object_store`.

use std::{error::Error as StdError, io};

use object_store::Error as StoreError;

use crate::{
    error::{Error, ErrorKind, Retry},
    storage::faults::{Meaning, complete, from_io, located},
};

/// Translates an error of `object_store` about one object.
pub(super) fn translate(error: StoreError, doing: &'static str, bucket: &str, key: &str) -> Error {
    if let Some(said) = from_credentials(&error, doing, bucket, key) {
        return said.with_source(error);
    }
    if let Some(error) = from_service(&error, doing, bucket, key) {
        return error;
    }
    let object = object_of(doing, bucket, key);
    let failed = || format!("cannot {doing} {object}");
    let (kind, message, hint): Meaning = match &error {
        StoreError::NotFound { .. } => (ErrorKind::NotFound, format!("there is no {object}"), None),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            (ErrorKind::AlreadyExists, format!("{object} exists already"), None)
        }
        StoreError::InvalidPath { .. } if doing == "list" => (
            ErrorKind::Unsupported,
            format!(
                "{}, it holds a key that cannot be named here, {}",
                failed(),
                one_line(&innermost(&error))
            ),
            Some("keys with `//`, or with parts `.` and `..`, are out of reach: list another prefix"),
        ),
        StoreError::InvalidPath { .. } => {
            (ErrorKind::InvalidInput, format!("{}, the storage cannot hold such a key", failed()), None)
        }
        // Of a listing `object_store` gives no kind.
        error if matches!(error, StoreError::Unauthenticated { .. }) || status(error) == Some(401) => (
            ErrorKind::PermissionDenied,
            format!("{}, there are no credentials that are accepted", failed()),
            Some(
                "give the credentials in the section of the storage (`access_key_id` and `secret_access_key`; \
                 `credentials_path` of `gcp_storage`), or those of the platform",
            ),
        ),
        error if matches!(error, StoreError::PermissionDenied { .. }) || status(error) == Some(403) => {
            (ErrorKind::PermissionDenied, format!("not allowed to {doing} {object}"), None)
        }
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => {
            (ErrorKind::Unsupported, failed(), None)
        }
        _ => match io_error(&error) {
            Some(cause) => from_io(cause, doing, &object),
            None => (ErrorKind::Io, format!("{}, {}", failed(), one_line(&innermost(&error))), None),
        },
    };
    complete((kind, message, hint), doing, bucket, key).with_source(error)
}

/// Whether the error is a temporary one of the service, which says nothing about the object.
pub(super) fn is_passing(error: &StoreError) -> bool {
    status(error).is_some_and(|status| matches!(status, 408 | 429 | 500..))
}

/// Whether the service refused the requested range: the object may be empty, or the service may not
/// support ranges.
pub(super) fn is_about_range(error: &StoreError) -> bool {
    status(error) == Some(416) || chain(error).any(|error| error.to_string().contains("non-partial response"))
}

/// The error of the credentials' own source, which says what is missing and what to do; `None` for others.
fn from_credentials(error: &StoreError, doing: &str, bucket: &str, key: &str) -> Option<Error> {
    let StoreError::Unauthenticated { source, .. } = error else { return None };
    let said = source.downcast_ref::<Error>()?;
    let message = format!("cannot {doing} {}, {}", object_of(doing, bucket, key), said.message());
    let error = Error::new(said.kind(), message).with_retry(said.retry());
    let error = located(error, doing, bucket, key);
    Some(match said.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

/// What the operation is about, in words.
fn object_of(doing: &str, bucket: &str, key: &str) -> String {
    match doing {
        "list" if key.is_empty() => format!("bucket `{bucket}`"),
        "list" => format!("what starts with `{key}` in bucket `{bucket}`"),
        _ => format!("object `{key}` in bucket `{bucket}`"),
    }
}

/// The error of an answer of a service behind a network; `None` if the answer has a meaning for the
/// object. The message quotes only the code and the message of the answer, because some services
/// repeat the signed request in it.
fn from_service(error: &StoreError, doing: &str, bucket: &str, key: &str) -> Option<Error> {
    let text = chain(error).map(ToString::to_string).find(|text| text.contains("<Code>"));
    let code = text.as_deref().and_then(|text| element(text, "Code")).unwrap_or_default();
    let said = text.as_deref().and_then(|text| element(text, "Message")).unwrap_or_default();
    let region = chain(error).any(|error| error.to_string().contains("incorrectly configured region"));
    let status = status(error);
    let object = object_of(doing, bucket, key);
    let what = format!("cannot {doing} {object}");
    let (kind, message, hint) = match code {
        "NoSuchBucket" => (
            ErrorKind::NotFound,
            format!("there is no bucket `{bucket}`"),
            "create it, or name another in `storage_bucket`",
        ),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "RequestExpired" => (
            ErrorKind::PermissionDenied,
            format!("{what}, the storage does not accept the credentials: {code}"),
            "look at `access_key_id` and `secret_access_key` (`credentials_path` of `gcp_storage`), or at the profile \
             and variables of the platform",
        ),
        "RequestTimeTooSkewed" => (
            ErrorKind::PermissionDenied,
            format!("{what}, this machine's clock differs too much from the storage's"),
            "set the clock",
        ),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
            (ErrorKind::ConfigInvalid, format!("{what}, {said}"), "set `region` to that of the bucket")
        }
        "EntityTooLarge" => (ErrorKind::PayloadTooLarge, format!("{what}, {said}"), "store it in parts"),
        _ if region => (
            ErrorKind::ConfigInvalid,
            format!("{what}, the bucket is in another region"),
            "set `region` to that of the bucket",
        ),
        _ if status == Some(404) && doing == "list" => (
            ErrorKind::NotFound,
            format!("there is no bucket `{bucket}`"),
            "create it, or name another in `storage_bucket`",
        ),
        // Google says in the details whose identity lacks which permission.
        "AccessDenied" => (
            ErrorKind::PermissionDenied,
            match text.as_deref().and_then(|text| element(text, "Details")) {
                Some(details) => format!("not allowed to {doing} {object}: {details}"),
                None => format!("not allowed to {doing} {object}"),
            },
            "look at the policies of the credentials and of the bucket",
        ),
        "AccountProblem" | "UserProjectAccountProblem" => (
            ErrorKind::PermissionDenied,
            format!("{what}, the account of the project cannot be used: {said}"),
            "look at the billing of the project that the bucket belongs to",
        ),
        _ => match status? {
            404 | 403 | 401 | 409 | 412 | 304 => return None,
            status @ (408 | 429 | 500..) => {
                let busy = if matches!(status, 429 | 503) { ErrorKind::RateLimited } else { ErrorKind::Io };
                let message = format!("{what}, the storage answered {status} {code}");
                let error = Error::new(busy, message.trim_end()).with_context("status", status.to_string());
                return Some(located(error, doing, bucket, key).with_retry(Retry::Later));
            }
            status => (
                ErrorKind::Io,
                format!("{what}, the storage answered {status} {code} {said}").trim_end().to_owned(),
                "look at the endpoint and at what it serves",
            ),
        },
    };
    Some(located(Error::new(kind, one_line(&message)).with_hint(hint), doing, bucket, key))
}

/// The HTTP status of the answer, which `object_store` gives only in the texts of its errors.
fn status(error: &(dyn StdError + 'static)) -> Option<u16> {
    let after = |text: &str| {
        let rest = text.split_once("status code: ")?.1;
        rest.get(..3)?.parse().ok()
    };
    chain(error).find_map(|error| after(&error.to_string()))
}

/// The text of the first XML element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let rest = xml.split_once(&format!("<{name}>"))?.1;
    Some(rest.split_once('<')?.0)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The error of the operating system that caused an error, if there is one.
pub(super) fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}
