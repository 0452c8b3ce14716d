//! Errors of the server and of the connection, as errors of lithops.

use lithops_core::error::{Error, ErrorKind, Retry};
use redis::{ErrorKind as RedisKind, RedisError, ServerErrorKind};

/// Turns an error about `what`, such as an object, into an error of lithops. Messages of the server repeat no secrets.
pub(crate) fn translate(error: &RedisError, doing: &str, what: &str) -> Error {
    // Of commands that were sent together, the first that failed says why.
    let refused = error.clone().into_server_errors();
    let first = refused.and_then(|errors| errors.first().map(|(_, error)| RedisError::from(error.clone())));
    let error = first.as_ref().unwrap_or(error);
    let said = error.detail().unwrap_or("").trim();
    let failed = format!("cannot {doing} {what}");
    let passing = error.is_io_error() || error.is_timeout() || error.is_connection_dropped();
    let (kind, message, hint) = match error.kind() {
        RedisKind::AuthenticationFailed => (
            ErrorKind::PermissionDenied,
            format!("{failed}, the server does not accept user and password"),
            Some("look at `username` and `password` in section `redis`"),
        ),
        RedisKind::Server(ServerErrorKind::NoPerm) => (
            ErrorKind::PermissionDenied,
            format!("not allowed to {doing} {what}, {said}"),
            Some("give the user the commands GET, SET, STRLEN, GETRANGE, DEL, SCAN, HSET, HMGET and HDEL"),
        ),
        RedisKind::Server(
            ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain | ServerErrorKind::MasterDown,
        ) => {
            let message = format!("{failed}, the server is not ready, {said}");
            return Error::new(ErrorKind::RateLimited, message)
                .with_context("status", "busy")
                .with_retry(Retry::Later);
        }
        _ if error.code() == Some("NOAUTH") || error.code() == Some("WRONGPASS") => (
            ErrorKind::PermissionDenied,
            format!("{failed}, the server asks for another user or password"),
            Some("write `username` and `password` in section `redis`"),
        ),
        _ if error.code() == Some("OOM") => (
            ErrorKind::Io,
            format!("{failed}, the server's memory is full"),
            Some("raise `maxmemory` of the server, or run `lithops clean`"),
        ),
        _ => (ErrorKind::Io, format!("{failed}, {error}"), None),
    };
    let error = Error::new(kind, message).with_retry(if passing { Retry::Later } else { Retry::Never });
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
