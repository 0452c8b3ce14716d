//! Multipart uploads: an object for each part, which `compose` puts together.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use tokio::sync::Mutex;

use crate::{
    server::{Refused, Server},
    xml::{answer, empty, error, escape},
};

/// What the keys of parts begin with. No test has objects there.
pub(crate) const PARTS: &str = ".gcs-front-parts/";
/// The most objects that one `compose` takes, as Cloud Storage has it.
const COMPOSED: usize = 32;

/// The uploads that are under way.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, Upload>>);

#[derive(Debug, Clone)]
struct Upload {
    bucket: String,
    key: String,
    kind: String,
    /// The ETags of the parts, by their numbers.
    parts: HashMap<u32, String>,
}

fn part_key(id: &str, number: u32) -> String {
    format!("{PARTS}{id}/{number:05}")
}

fn unknown() -> Response<Full<Bytes>> {
    error(StatusCode::NOT_FOUND, "NoSuchUpload", "The requested upload was not found.")
}

impl Uploads {
    pub(crate) async fn begin(&self, bucket: &str, key: &str, kind: &str) -> Response<Full<Bytes>> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let upload = Upload {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            kind: kind.to_owned(),
            parts: HashMap::new(),
        };
        self.0.lock().await.insert(id.clone(), upload);
        let document = format!(
            "<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>{}</Bucket>\
             <Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escape(bucket),
            escape(key)
        );
        answer(StatusCode::OK, document)
    }

    pub(crate) async fn put(
        &self,
        server: &Server,
        id: &str,
        number: u32,
        content: &[u8],
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let Some(upload) = self.0.lock().await.get(id).cloned() else { return Ok(unknown()) };
        let stored =
            server.upload(&upload.bucket, &part_key(id, number), &upload.kind, None, content).await?;
        let etag = format!("\"{}\"", stored["etag"].as_str().unwrap_or_default());
        if let Some(upload) = self.0.lock().await.get_mut(id) {
            upload.parts.insert(number, etag.clone());
        }
        let sum = |name: &str| stored[name].as_str().unwrap_or_default();
        let hash = format!("crc32c={},md5={}", sum("crc32c"), sum("md5Hash"));
        Ok(empty(StatusCode::OK, &[("etag", &etag), ("x-goog-hash", &hash)]))
    }

    pub(crate) async fn complete(
        &self,
        server: &Server,
        id: &str,
        document: &str,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let Some(upload) = self.0.lock().await.get(id).cloned() else { return Ok(unknown()) };
        let listed = listed(document);
        let in_order = listed.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let is_known = |(number, etag): &(u32, String)| {
            upload.parts.get(number).is_some_and(|known| known.trim_matches('"') == etag.trim_matches('"'))
        };
        if listed.is_empty() || !in_order || !listed.iter().all(is_known) {
            return Ok(error(
                StatusCode::BAD_REQUEST,
                "InvalidPart",
                "One or more of the specified parts could not be found, or have another ETag or order.",
            ));
        }
        let mut sources: Vec<String> = listed.iter().map(|(number, _)| part_key(id, *number)).collect();
        let mut made = sources.clone();
        while sources.len() > COMPOSED {
            let mut next = Vec::new();
            for group in sources.chunks(COMPOSED) {
                let key = format!("{PARTS}{id}/composed-{}", made.len());
                server.compose(&upload.bucket, group, &key, &upload.kind).await?;
                made.push(key.clone());
                next.push(key);
            }
            sources = next;
        }
        let stored = server.compose(&upload.bucket, &sources, &upload.key, &upload.kind).await?;
        self.0.lock().await.remove(id);
        self.remove(server, &upload.bucket, &made).await;
        let etag = format!("\"{}\"", stored["etag"].as_str().unwrap_or_default());
        let document = format!(
            "<CompleteMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>{}</Bucket>\
             <Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escape(&upload.bucket),
            escape(&upload.key),
            escape(&etag)
        );
        let mut answered = answer(StatusCode::OK, document);
        let generation = stored["generation"].as_str().unwrap_or_default().parse();
        answered.headers_mut().insert("x-goog-generation", generation.expect("a number"));
        Ok(answered)
    }

    pub(crate) async fn abort(&self, server: &Server, id: &str) -> Response<Full<Bytes>> {
        let Some(upload) = self.0.lock().await.remove(id) else { return unknown() };
        let parts: Vec<String> = upload.parts.keys().map(|number| part_key(id, *number)).collect();
        self.remove(server, &upload.bucket, &parts).await;
        empty(StatusCode::NO_CONTENT, &[])
    }

    async fn remove(&self, server: &Server, bucket: &str, keys: &[String]) {
        for key in keys {
            // They may be gone: the same request may have come before.
            let _ = server.delete(bucket, key).await;
        }
    }
}

/// Numbers and ETags of the parts in a request.
fn listed(document: &str) -> Vec<(u32, String)> {
    let inside = |text: &str, name: &str| {
        let rest = text.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once('<')?.0.trim().replace("&quot;", "\""))
    };
    let part = |text: &str| Some((inside(text, "PartNumber")?.parse().ok()?, inside(text, "ETag")?));
    document.split("</Part>").filter_map(part).collect()
}
