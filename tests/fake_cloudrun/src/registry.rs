//! [`Registry`]: images by the distribution API, as much of it as pushing needs.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use hyper::{Method, Response, header::HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::answer::{Body, text, whole};

/// What was pushed.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Pushed>);

#[derive(Debug, Default)]
struct Pushed {
    blobs: HashMap<String, Bytes>,
    /// Manifests by digest, and their media types.
    manifests: HashMap<String, (String, Bytes)>,
    /// Digests by repository and tag.
    tags: HashMap<(String, String), String>,
    uploads: HashMap<String, Vec<u8>>,
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Registry {
    pub(crate) fn manifest(&self, digest: &str) -> Option<Bytes> {
        self.lock().manifests.get(digest).map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn blob(&self, digest: &str) -> Option<Bytes> {
        self.lock().blobs.get(digest).cloned()
    }

    /// Answers a request of the distribution API; says whether something new was stored.
    pub(crate) fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        kind: &str,
        body: &Bytes,
    ) -> (Response<Body>, bool) {
        let rest = path.trim_start_matches("/v2/");
        if rest.is_empty() {
            return (text(200, "{}"), false);
        }
        let answered = if let Some((name, id)) = rest.split_once("/blobs/uploads/") {
            self.upload(method, name, id, query, body)
        } else if let Some((_, digest)) = rest.split_once("/blobs/") {
            let found = self.blob(digest);
            found.map(|bytes| (content(method, &bytes, digest, "application/octet-stream"), false))
        } else if let Some((name, reference)) = rest.split_once("/manifests/") {
            self.of_manifest(method, name, reference, kind, body)
        } else if let Some(name) = rest.strip_suffix("/tags/list") {
            let tags: Vec<_> = self
                .lock()
                .tags
                .keys()
                .filter(|(repository, _)| repository == name)
                .map(|(_, tag)| tag.clone())
                .collect();
            Some((crate::answer::json(200, &serde_json::json!({"name": name, "tags": tags})), false))
        } else {
            None
        };
        answered.unwrap_or_else(|| (text(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#), false))
    }

    fn upload(
        &self,
        method: &Method,
        name: &str,
        id: &str,
        query: &str,
        body: &Bytes,
    ) -> Option<(Response<Body>, bool)> {
        let mut pushed = self.lock();
        let wanted = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("digest="))
            .map(|digest| digest.replace("%3A", ":"));
        let mut answer = match (method, wanted) {
            (&Method::POST, None) => {
                let id = uuid::Uuid::new_v4().to_string();
                pushed.uploads.insert(id.clone(), Vec::new());
                let mut answer = text(202, "");
                let place = HeaderValue::try_from(format!("/v2/{name}/blobs/uploads/{id}")).ok()?;
                answer.headers_mut().insert("location", place);
                return Some((answer, false));
            }
            (&Method::PATCH, _) => {
                pushed.uploads.get_mut(id)?.extend_from_slice(body);
                let mut answer = text(202, "");
                let place = HeaderValue::try_from(format!("/v2/{name}/blobs/uploads/{id}")).ok()?;
                answer.headers_mut().insert("location", place);
                return Some((answer, false));
            }
            (&Method::PUT | &Method::POST, Some(wanted)) => {
                let mut bytes = pushed.uploads.remove(id).unwrap_or_default();
                bytes.extend_from_slice(body);
                if digest(&bytes) != wanted {
                    return Some((text(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#), false));
                }
                pushed.blobs.insert(wanted.clone(), bytes.into());
                let mut answer = text(201, "");
                answer.headers_mut().insert("docker-content-digest", HeaderValue::try_from(wanted).ok()?);
                answer
            }
            _ => return None,
        };
        answer.headers_mut().insert("location", HeaderValue::from_static("/"));
        Some((answer, true))
    }

    fn of_manifest(
        &self,
        method: &Method,
        name: &str,
        reference: &str,
        kind: &str,
        body: &Bytes,
    ) -> Option<(Response<Body>, bool)> {
        let mut pushed = self.lock();
        if method == Method::PUT {
            let digest = digest(body);
            pushed.manifests.insert(digest.clone(), (kind.to_owned(), body.clone()));
            pushed.tags.insert((name.to_owned(), reference.to_owned()), digest.clone());
            let mut answer = text(201, "");
            answer.headers_mut().insert("docker-content-digest", HeaderValue::try_from(digest).ok()?);
            return Some((answer, true));
        }
        let tag = (name.to_owned(), reference.to_owned());
        let digest = pushed.tags.get(&tag).cloned().unwrap_or_else(|| reference.to_owned());
        let (kind, bytes) = pushed.manifests.get(&digest)?;
        Some((content(method, bytes, &digest, kind), false))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pushed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn content(method: &Method, bytes: &Bytes, digest: &str, kind: &str) -> Response<Body> {
    let mut answer = text(200, "");
    let headers = answer.headers_mut();
    headers.insert("content-length", HeaderValue::from(bytes.len()));
    for (name, value) in [("docker-content-digest", digest), ("content-type", kind)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    if method != Method::HEAD {
        *answer.body_mut() = whole(bytes.clone());
    }
    answer
}
