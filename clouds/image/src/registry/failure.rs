//! What failures of a registry mean: words for people, and the error of an operation.

use lithops_core::error::{Error, ErrorKind, Retry};
use reqwest::StatusCode;
use serde::Deserialize;

use super::{login::Login, reference::Reference};

/// The most characters of a registry's own words that a message has.
const LONGEST: usize = 300;

#[derive(Deserialize)]
struct Failures {
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The error of a request that was answered with a failure. `what` completes "cannot ..".
pub(crate) fn answered(what: &str, to: &Reference, login: &Login, status: StatusCode, body: &[u8]) -> Error {
    let registry = to.registry();
    let message = format!("cannot {what} `{to}`: the registry answered {status}{}", said(body));
    let log_in = || match registry {
        "docker.io" => "log in with `docker login`".to_owned(),
        _ => format!("log in with `docker login {registry}`"),
    };
    let (kind, hint) = match status {
        StatusCode::UNAUTHORIZED if *login == Login::anonymous() => {
            (ErrorKind::PermissionDenied, format!("there is no login for `{registry}`: {}", log_in()))
        }
        StatusCode::UNAUTHORIZED => (
            ErrorKind::PermissionDenied,
            format!(
                "it refuses {}: is the password right, and has it not expired? {}",
                login.shown(),
                log_in()
            ),
        ),
        StatusCode::FORBIDDEN => (
            ErrorKind::PermissionDenied,
            format!(
                "{} may not do this with `{}`: ask for the right to push",
                login.shown(),
                to.repository()
            ),
        ),
        StatusCode::NOT_FOUND => {
            (ErrorKind::NotFound, "does the repository exist, and is its name right?".to_owned())
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            (ErrorKind::Unsupported, "the settings of the registry must allow it".to_owned())
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            (ErrorKind::PayloadTooLarge, "the registry takes no part as large as this".to_owned())
        }
        StatusCode::TOO_MANY_REQUESTS => (ErrorKind::RateLimited, "wait a little, or log in".to_owned()),
        _ => (ErrorKind::Io, format!("is `{registry}` the address of a registry, and does it run well?")),
    };
    let retry = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Retry::Later,
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => Retry::Later,
        _ => Retry::Never,
    };
    Error::new(kind, message)
        .with_hint(hint)
        .with_retry(retry)
        .with_context("status", status.as_str().to_owned())
}

/// The error of a request that was not answered.
pub(crate) fn unanswered(what: &str, to: &Reference, error: &reqwest::Error) -> Error {
    let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Io };
    Error::new(kind, format!("cannot {what} `{to}`: {}", words(error)))
        .with_hint(format!(
            "is `{}` the address of the registry, does it run, and is the network there?",
            to.registry()
        ))
        .with_retry(if error.is_builder() || error.is_redirect() { Retry::Never } else { Retry::Later })
}

/// The error of an answer that breaks the rules of the protocol.
pub(crate) fn unexpected(what: &str, to: &Reference, why: &str) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {what} `{to}`: {why}"))
        .with_hint(format!("is `{}` the address of a registry?", to.registry()))
}

/// What the registry says itself, in one line without control characters.
fn said(body: &[u8]) -> String {
    let Ok(Failures { errors }) = serde_json::from_slice(body) else { return String::new() };
    let words: Vec<_> = errors
        .iter()
        .map(|failure| match failure.message.is_empty() {
            true => failure.code.clone(),
            false => format!("{} ({})", failure.message, failure.code),
        })
        .collect();
    let line: String = words.join(", ").chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if line.is_empty() { line } else { format!(", \"{line}\"") }
}

/// An error with its causes, without the address: that may hold a signature.
fn words(error: &reqwest::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        if !words.last().is_some_and(|last| last.contains(&said)) {
            words.push(said);
        }
        next = cause.source();
    }
    match words.is_empty() {
        true if error.is_timeout() => "no answer in time".to_owned(),
        true => "the request failed".to_owned(),
        false => words.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_to_do() {
        let to: Reference = "r.test/team/app:1".parse().unwrap();
        let body = br#"{"errors": [{"code": "DENIED", "message": "requested access\u001b[31m is denied"}]}"#;
        let login = Login::password("ann", "hunter2");
        let error = answered("push to", &to, &login, StatusCode::UNAUTHORIZED, body);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(
            error.to_string(),
            "cannot push to `r.test/team/app:1`: the registry answered 401 Unauthorized, \"requested access[31m is denied \
             (DENIED)\": it refuses the login of user `ann`: is the password right, and has it not expired? log in with \
             `docker login r.test`"
        );
        let anonymous = answered("push to", &to, &Login::anonymous(), StatusCode::UNAUTHORIZED, b"<html>");
        assert!(anonymous.to_string().contains("there is no login for `r.test`"), "{anonymous}");
        for (status, later) in [(429, true), (503, true), (501, false), (403, false), (404, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = answered("push to", &to, &login, status, b"");
            assert_eq!(error.retry() == Retry::Later, later, "{error:?}");
        }
    }
}
