//! Listings as `object_store` can read them.
//!
//! The client of `object_store` turns each listed key into a path, which loses the slash at the end of `logs/2026/`, so
//! that another object seems to be there, and which is an error for `a//b`, so that nothing is listed at all. Between
//! the client and the network stands [`ReadableListings`]: it writes such keys in another form, which `listed_key.rs`
//! undoes.

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    },
};

use super::listed_key::as_listed;

const OPEN: &str = "<Key>";
const CLOSE: &str = "</Key>";

/// Makes clients whose listings have keys that are paths: for `with_http_connector` of the builders of S3 and of
/// Google Cloud Storage.
#[derive(Debug, Default)]
pub struct ReadableListings;

impl HttpConnector for ReadableListings {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Client(HttpClient);

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let lists = request.method() == "GET" && query.split('&').any(|pair| pair == "list-type=2");
        let response = self.0.execute(request).await?;
        if !lists || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.bytes().await?;
        let readable = std::str::from_utf8(&body).ok().and_then(readable);
        Ok(HttpResponse::from_parts(parts, readable.map_or_else(|| body.into(), Into::into)))
    }
}

/// The listing with keys that are paths, if some of its keys are none.
fn readable(listing: &str) -> Option<String> {
    let mut written = String::new();
    let mut rest = listing;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((key, after)) = after.split_once(CLOSE) else { break };
        written.push_str(before);
        written.push_str(OPEN);
        match text(key).and_then(|key| as_listed(&key)) {
            // The name needs no escapes.
            Some(other) => written.push_str(&other),
            None => written.push_str(key),
        }
        written.push_str(CLOSE);
        rest = after;
    }
    written.push_str(rest);
    (written != listing).then_some(written)
}

/// The text of an element, without its escapes; `None` if some are unknown.
fn text(escaped: &str) -> Option<String> {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('&') {
        text.push_str(before);
        let (name, after) = after.split_once(';')?;
        text.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_are_no_paths_are_written_otherwise() {
        let listing = |keys: &[&str]| {
            let keys: String =
                keys.iter().map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
            format!("<ListBucketResult><Prefix>a//</Prefix>{keys}</ListBucketResult>")
        };
        assert_eq!(readable(&listing(&["a", "b/c d", "x&amp;y", "&unknown;"])), None);
        let read = readable(&listing(&["a", "logs/", "x&#x2F;&#47;y", "&#1;"])).expect("some are no paths");
        let other = |key: &str| as_listed(key).expect("no path");
        let wanted = ["a", &other("logs/"), &other("x//y"), &other("\u{1}")];
        assert_eq!(read, listing(&wanted));
        for broken in ["<Key>a/", "<Key>", "", "</Key><Key>a/</Key"] {
            assert_eq!(readable(broken), None, "{broken}");
        }
    }
}
