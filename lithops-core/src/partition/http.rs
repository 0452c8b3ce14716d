//! URLs: their sizes, and ranges of their content.

use std::{ops::Range, sync::OnceLock, time::Duration};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED, RANGE},
};

use super::version::{KnownVersion, changed, shown};
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result, Retry},
    storage::StorageRetryPolicy,
};

/// What a server says about a URL, with the ETag or date of its content.
pub(super) struct UrlInfo {
    pub(super) size: u64,
    pub(super) mark: Option<String>,
    /// Whether the server answers requests for ranges.
    pub(super) ranges: bool,
}

fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            // A body that the client unpacks has another length than the range that was asked for. The client
            // would unpack if another crate of the program has enabled these features.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .user_agent(concat!("lithops/", env!("CARGO_PKG_VERSION")))
            .build();
        // Building fails where the system has no certificates; then only requests over TLS fail.
        client.unwrap_or_default()
    })
}

fn patience() -> &'static StorageRetryPolicy {
    static PATIENCE: OnceLock<StorageRetryPolicy> = OnceLock::new();
    PATIENCE.get_or_init(|| StorageRetryPolicy::network().with_total(Duration::from_secs(30)))
}

/// Asks for one byte: every server answers that as it answers requests for data, unlike a request for the
/// headers alone.
pub(super) async fn look(url: &str) -> Result<UrlInfo> {
    patience()
        .run(|_| async {
            let response = send(url, Some(0..1)).await?;
            let size = match response.status() {
                StatusCode::PARTIAL_CONTENT => total(response.headers()),
                // An empty content has no first byte.
                StatusCode::RANGE_NOT_SATISFIABLE => total(response.headers()).or(Some(0)),
                _ => return described_whole(url, response).await,
            };
            match size {
                Some(size) => Ok(UrlInfo { size, mark: mark(response.headers()), ranges: true }),
                // Without the total size, an answer with the last part cannot be told from an answer with the
                // whole.
                None => described_whole(url, send(url, None).await?).await,
            }
        })
        .await
}

/// The size of a whole answer. If the server does not say it, the answer is read to its end.
async fn described_whole(url: &str, mut response: Response) -> Result<UrlInfo> {
    let mark = mark(response.headers());
    let mut size = text(response.headers(), CONTENT_LENGTH.as_str()).and_then(|len| len.parse().ok());
    if size.is_none() {
        let mut read = 0;
        while let Some(piece) = response.chunk().await.map_err(|error| broken(url, error))? {
            read += piece.len() as u64;
        }
        size = Some(read);
    }
    Ok(UrlInfo { size: size.unwrap_or_default(), mark, ranges: false })
}

/// Reads a range from a server that answers ranges; an error if the content has changed.
pub(super) async fn read(url: &str, known: KnownVersion<'_>, range: Range<u64>) -> Result<Bytes> {
    patience()
        .run(|_| async {
            let response = send(url, Some(range.clone())).await?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT => {}
                StatusCode::RANGE_NOT_SATISFIABLE => return Err(changed(&shown(url))),
                _ => return Err(fault(url, "the server gives no range any more", Retry::Never)),
            }
            let headers = response.headers();
            if !known.allows(total(headers), mark(headers).as_deref()) {
                return Err(changed(&shown(url)));
            }
            // A server that does not say which range it sends is believed, if the length is right.
            let other = first(headers).is_some_and(|first| first != range.start);
            let bytes = response.bytes().await.map_err(|error| broken(url, error))?;
            if other || bytes.len() as u64 != range.end - range.start {
                return Err(fault(url, "the server gave another range", Retry::Never));
            }
            Ok(Bytes::from(bytes))
        })
        .await
}

/// The whole content, from a server that answers no ranges, in pieces of one answer.
pub(super) fn stream(url: String, size: u64, mark: Option<String>) -> BoxStream<'static, Result<Bytes>> {
    let begun = async move {
        let response = patience().run(|_| send(&url, None)).await?;
        let now = self::mark(response.headers());
        if !(KnownVersion { size, mark: mark.as_deref() }).allows(None, now.as_deref()) {
            return Err(changed(&shown(&url)));
        }
        let next = move |(mut response, url, read): (Response, String, u64)| async move {
            match response.chunk().await.map_err(|error| broken(&url, error))? {
                Some(piece) => {
                    let read = read + piece.len() as u64;
                    Ok(Some((Bytes::from(piece), (response, url, read))))
                }
                None if read == size => Ok(None),
                None => Err(changed(&shown(&url))),
            }
        };
        Ok(stream::try_unfold((response, url, 0), next))
    };
    stream::once(begun).try_flatten().boxed()
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

/// The total size, from the header of an answer with a range.
fn total(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_RANGE.as_str())?.rsplit_once('/')?.1.parse().ok()
}

/// The first offset of the range in an answer: 7 of `bytes 7-13/20`.
fn first(headers: &HeaderMap) -> Option<u64> {
    let range = text(headers, CONTENT_RANGE.as_str())?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

fn mark(headers: &HeaderMap) -> Option<String> {
    text(headers, ETAG.as_str()).or_else(|| text(headers, LAST_MODIFIED.as_str()))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn broken(url: &str, error: reqwest::Error) -> Error {
    let retry = if error.is_builder() { Retry::Never } else { Retry::Later };
    // The text of the error would repeat the URL, which may contain a signature.
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
    Error::new(ErrorKind::Io, format!("cannot read `{}`, {what}", shown(url))).with_retry(retry)
}
