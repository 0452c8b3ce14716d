//! [`FakeCloudRun`]: the server of everything but the services themselves.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, task::JoinSet};

use crate::{
    admin,
    answer::{Body, json, text},
    images::Images,
    repositories::Repositories,
    router::Router,
    settings::{Counts, Settings},
    tokens::{ACCESS, EMAIL, Tokens},
};

/// A Cloud Run that listens on loopback until it is dropped.
#[derive(Debug)]
pub struct FakeCloudRun {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What all of the fake shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) settings: Settings,
    pub(crate) tokens: Tokens,
    pub(crate) images: Images,
    /// Services by their names.
    pub(crate) services: tokio::sync::Mutex<HashMap<String, Service>>,
    /// The front ends of services that were deleted.
    pub(crate) deleted: Mutex<Vec<Router>>,
    pub(crate) operations: Mutex<HashMap<String, Value>>,
    repositories: Repositories,
    pub(crate) folder: tempfile::TempDir,
    counts: Mutex<Counts>,
}

/// A service, and its front end once it has an image that runs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) document: Value,
    pub(crate) router: Option<Router>,
}

impl Shared {
    pub(crate) fn count<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FakeCloudRun {
    /// Listens at a free port.
    ///
    /// # Errors
    /// There is no free port, no folder for images, or no randomness for keys.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let images = settings.images.clone().map_or_else(Images::new, Ok)?;
        let shared = Arc::new(Shared {
            address,
            settings,
            tokens: Tokens::new()?,
            images,
            services: tokio::sync::Mutex::default(),
            deleted: Mutex::default(),
            operations: Mutex::default(),
            repositories: Repositories::default(),
            folder: tempfile::tempdir()?,
            counts: Mutex::default(),
        });
        let listening = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// `http://127.0.0.1:port`: the Admin API, the registry, and the metadata server.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The key file of a service account that may do everything.
    ///
    /// # Errors
    /// The key cannot be written.
    pub fn key_file(&self) -> io::Result<String> {
        self.shared.tokens.key_file(&format!("{}/token", self.endpoint()))
    }

    /// Changes an annotation of a service, as another client would.
    pub async fn annotate(&self, service: &str, name: &str, value: &str) {
        if let Some(found) = self.shared.services.lock().await.get_mut(service) {
            found.document["annotations"][name] = json!(value);
        }
    }

    /// The images that were pushed.
    #[must_use]
    pub fn images(&self) -> Images {
        self.shared.images.clone()
    }

    /// What has happened until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.count(|counts| *counts)
    }
}

impl Drop for FakeCloudRun {
    fn drop(&mut self) {
        self.listening.abort();
        if let Ok(mut services) = self.shared.services.try_lock() {
            services.clear();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(respond(&shared, request).await) }
            });
            // It may end as it likes: clients go.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return text(400, "the request was cut short") };
    let body: Bytes = body.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    if let Some(what) = path.strip_prefix("/computeMetadata/v1/") {
        return match header("metadata-flavor") {
            Some("Google") => metadata(shared, what, query),
            _ => text(403, "Missing required header \"Metadata-Flavor\": \"Google\""),
        };
    }
    if path == "/token" && head.method == Method::POST {
        let token = shared.tokens.exchange(&String::from_utf8_lossy(&body));
        return match token {
            Some(token) => json(200, &token),
            None => {
                json(400, &json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}))
            }
        };
    }
    if ["/v2/projects/", "/v1/projects/", "/v1beta1/projects/"].iter().any(|prefix| path.starts_with(prefix))
    {
        if !shared.tokens.may_manage(header("authorization")) {
            return crate::answer::error(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
            );
        }
        let of_repositories = shared.repositories.answer(&head.method, path, query);
        let (answer, wrote) = match of_repositories {
            Some(answered) => answered,
            None => admin::answer(shared, &head.method, path, query, &body).await,
        };
        shared.count(|counts| counts.writes += u64::from(wrote));
        return answer;
    }
    if path == "/counts" {
        return json(200, &shared.count(|counts| counts.json()));
    }
    if let Some(name) = path.strip_prefix("/v2/") {
        if !shared.tokens.may_push(header("authorization")) {
            let mut answer = text(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#);
            let basic = hyper::header::HeaderValue::from_static("Basic realm=\"fake\"");
            answer.headers_mut().insert("www-authenticate", basic);
            return answer;
        }
        if !name.is_empty() && !shared.repositories.takes(name) {
            return text(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"Repository not found"}]}"#);
        }
        let kind = header("content-type").unwrap_or_default();
        let (answer, stored) = shared.images.registry().answer(&head.method, path, query, kind, &body);
        shared.count(|counts| counts.uploads += u64::from(stored));
        return answer;
    }
    text(404, "Not Found")
}

fn metadata(shared: &Shared, what: &str, query: &str) -> Response<Body> {
    match what {
        "project/project-id" => text(200, "lithops-test"),
        "universe/universe-domain" => text(200, "googleapis.com"),
        "instance/service-accounts/default/email" => text(200, EMAIL),
        "instance/service-accounts/default/token" => {
            json(200, &json!({"access_token": ACCESS, "expires_in": 3600, "token_type": "Bearer"}))
        }
        "instance/service-accounts/default/identity" => {
            let audience = query.split('&').find_map(|pair| pair.strip_prefix("audience="));
            let audience = audience.unwrap_or_default().replace("%3A", ":").replace("%2F", "/");
            shared.tokens.identity(&audience).map_or_else(|| text(500, "no token"), |token| text(200, &token))
        }
        _ => text(404, "Not Found"),
    }
}
