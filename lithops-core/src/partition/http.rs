//! URLs: how large they are, and ranges of them.

use std::{ops::Range, sync::OnceLock, time::Duration};

use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED, RANGE},
};

use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    storage::Patience,
};

/// What a server says of a URL.
pub(super) struct Described {
    pub(super) size: u64,
    pub(super) mark: Option<String>,
    /// Whether it answers requests for ranges.
    pub(super) ranges: bool,
}

fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            // What is unpacked on the way has another length than the range that was asked for.
            .user_agent(concat!("lithops/", env!("CARGO_PKG_VERSION")))
            .build();
        // It fails where the system has no certificates at all: then only requests over TLS do.
        client.unwrap_or_default()
    })
}

fn patience() -> &'static Patience {
    static PATIENCE: OnceLock<Patience> = OnceLock::new();
    PATIENCE.get_or_init(|| Patience::network().with_total(Duration::from_secs(30)))
}

/// Asks for one byte: unlike a question for the headers alone, every server answers that as it answers for data.
pub(super) async fn look(url: &str) -> Result<Described> {
    patience()
        .run(|_| async {
            let response = send(url, Some(0..1)).await?;
            let headers = response.headers();
            let mark = text(headers, ETAG.as_str()).or_else(|| text(headers, LAST_MODIFIED.as_str()));
            let (size, ranges) = match response.status() {
                StatusCode::PARTIAL_CONTENT => (total(headers), true),
                // An empty one has no first byte.
                StatusCode::RANGE_NOT_SATISFIABLE => (total(headers).or(Some(0)), true),
                _ => {
                    let size = text(headers, CONTENT_LENGTH.as_str()).and_then(|len| len.parse().ok());
                    let ranges =
                        size.is_some() && text(headers, ACCEPT_RANGES.as_str()).as_deref() == Some("bytes");
                    (size, ranges && size == Some(0))
                }
            };
            // Who does not say how large it is must be read to the end.
            let size = match size {
                Some(size) => size,
                None => body(url, response).await?.len() as u64,
            };
            Ok(Described { size, mark, ranges })
        })
        .await
}

/// Some of its bytes; where there are no ranges, all are asked for.
pub(super) async fn read(url: &str, ranges: bool, range: Range<u64>) -> Result<Bytes> {
    patience()
        .run(|_| async {
            let response = send(url, ranges.then(|| range.clone())).await?;
            let part = ranges && response.status() == StatusCode::PARTIAL_CONTENT;
            if ranges && !part {
                return Err(fault(url, "the server gives no range any more", Retry::Never));
            }
            let bytes = body(url, response).await?;
            let (start, end) = if part { (0, range.end - range.start) } else { (range.start, range.end) };
            if part && bytes.len() as u64 != end {
                return Err(fault(url, "the server gave another range", Retry::Never));
            }
            match bytes.get(start as usize..end as usize) {
                Some(_) => Ok(Bytes::from(bytes.slice(start as usize..end as usize))),
                None => Err(fault(url, "it is shorter than it was", Retry::Never)),
            }
        })
        .await
}

async fn send(url: &str, range: Option<Range<u64>>) -> Result<Response> {
    let mut request = client().get(url);
    if let Some(range) = range {
        request = request.header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
    }
    let response = request.send().await.map_err(|error| broken(url, error))?;
    let status = response.status();
    let failed = |kind, retry| {
        let error = fault(url, &format!("the server answered {status}"), retry);
        Err(Error::new(kind, error.message().to_owned())
            .with_retry(retry)
            .with_context("status", status.as_str().to_owned()))
    };
    match status {
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
        _ if status.is_success() => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE => failed(ErrorKind::NotFound, Retry::Never),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(ErrorKind::PermissionDenied, Retry::Never),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            failed(ErrorKind::RateLimited, Retry::Later)
        }
        _ if status.is_server_error() => failed(ErrorKind::Io, Retry::Later),
        _ => failed(ErrorKind::Io, Retry::Never),
    }
}

async fn body(url: &str, response: Response) -> Result<bytes::Bytes> {
    response.bytes().await.map_err(|error| broken(url, error))
}

fn total(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_RANGE.as_str())?.rsplit_once('/')?.1.parse().ok()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn broken(url: &str, error: reqwest::Error) -> Error {
    let retry = if error.is_builder() { Retry::Never } else { Retry::Later };
    // Its own text repeats the URL, with what may be a signature in it.
    let error = error.without_url();
    let mut causes = vec![error.to_string()];
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    fault(url, &causes.pop().unwrap_or_default(), retry)
}

fn fault(url: &str, what: &str, retry: Retry) -> Error {
    let shown = url.split(['?', '#']).next().unwrap_or(url);
    Error::new(ErrorKind::Io, format!("cannot read `{shown}`, {what}")).with_retry(retry)
}
