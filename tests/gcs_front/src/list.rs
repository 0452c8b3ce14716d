//! Listings: pages of the JSON API as `list-type=2` of the XML API.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::{
    front::Query,
    parts::PARTS,
    server::{Refused, Server, encode},
    xml::{answer, escape},
};

/// The most keys of a page, as Cloud Storage has it.
const MOST: usize = 1000;

/// One page.
pub(crate) async fn list(
    server: &Server,
    bucket: &str,
    query: &Query,
) -> Result<Response<Full<Bytes>>, Refused> {
    let most = query.value("max-keys").and_then(|most| most.parse().ok()).unwrap_or(MOST).min(MOST);
    let prefix = query.value("prefix").unwrap_or_default();
    let mut asked = format!("prefix={}&maxResults={most}", encode(&prefix));
    for (name, json) in
        [("continuation-token", "pageToken"), ("delimiter", "delimiter"), ("start-after", "startOffset")]
    {
        if let Some(value) = query.value(name) {
            let _ = write!(asked, "&{json}={}", encode(&value));
        }
    }
    let page = server.list(bucket, &asked).await?;
    let after = query.value("start-after");
    let mut document = format!(
        "<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><Name>{}</Name><Prefix>{}</Prefix>",
        escape(bucket),
        escape(&prefix)
    );
    let empty = Vec::new();
    let items = page["items"].as_array().unwrap_or(&empty);
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    // `startOffset` is inclusive, and the parts of uploads are no objects of the bucket.
    let is_listed = |key: &str| Some(key) != after.as_deref() && !key.starts_with(PARTS);
    for item in items.iter().filter(|item| is_listed(&text(item, "name"))) {
        let _ = write!(
            document,
            "<Contents><Key>{}</Key><Generation>{}</Generation><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag>\
             <Size>{}</Size></Contents>",
            escape(&text(item, "name")),
            text(item, "generation"),
            text(item, "updated"),
            escape(&text(item, "etag")),
            text(item, "size"),
        );
    }
    for prefix in page["prefixes"].as_array().unwrap_or(&empty).iter().filter_map(Value::as_str) {
        if !prefix.starts_with(PARTS) {
            let _ = write!(document, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(prefix));
        }
    }
    let next = page["nextPageToken"].as_str().filter(|next| !next.is_empty());
    let _ = write!(document, "<IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = next {
        let _ = write!(document, "<NextContinuationToken>{}</NextContinuationToken>", escape(next));
    }
    document.push_str("</ListBucketResult>");
    Ok(answer(StatusCode::OK, document))
}
