//! [`Connection`]: requests to one repository, with login, retries and counts.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use lithops_core::{
    error::{Error, ErrorKind, Result},
    storage::StorageRetryPolicy,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
    redirect,
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    challenge::Challenge,
    failure::{answered, unanswered, unexpected},
    login::{Kind, Login},
    reference::Reference,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, besides the time for its bytes and those of the request.
const ANSWER: Duration = Duration::from_secs(60);
/// The lowest speed of a network, in bytes per second.
const SLOWEST: u64 = 64 << 10;
/// How long a request is repeated that fails and may succeed later.
const RETRIES: Duration = Duration::from_secs(30);
/// The most bytes of a document.
const LARGEST_DOCUMENT: u64 = 8 << 20;

/// One request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The address below the repository, such as `manifests/latest`, or a whole address.
    pub(crate) path: String,
    pub(crate) accept: Option<String>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Option<Bytes>,
    /// How many bytes the answer may have.
    pub(crate) answer: u64,
    /// What it is for: completes "cannot ..".
    pub(crate) what: &'static str,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>, what: &'static str) -> Self {
        Self { method, path: path.into(), what, answer: LARGEST_DOCUMENT, ..Self::default() }
    }
}

/// An answer, whose body has been read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The address that has answered.
    pub(crate) url: Url,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How many requests there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    /// Those that change something.
    pub(crate) writes: u64,
}

/// Requests to one repository.
pub(crate) struct Connection {
    client: Client,
    to: Reference,
    login: Login,
    root: Url,
    /// What was accepted last as the header `Authorization`.
    authorization: Mutex<Option<HeaderValue>>,
    retries: StorageRetryPolicy,
    requests: AtomicU64,
    writes: AtomicU64,
}

impl fmt::Debug for Connection {
    /// Leaves out the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("to", &self.to).field("login", &self.login).finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(to: &Reference, login: Login) -> Result<Self> {
        let malformed = || unexpected("open", to, "its address is no URL");
        let root = Url::parse(&to.api()).map_err(|_| malformed())?;
        let root = root.join(&format!("{}/", to.repository())).map_err(|_| malformed())?;
        let redirects = redirect::Policy::custom(|attempt| {
            let was_secure = attempt.previous().iter().any(|url| url.scheme() == "https");
            if attempt.previous().len() > 5 || was_secure && attempt.url().scheme() != "https" {
                attempt.error("it leads to another address, too often or without TLS")
            } else {
                attempt.follow()
            }
        });
        let builder = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirects)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .user_agent(concat!("lithops/", env!("CARGO_PKG_VERSION")));
        // A proxy could not reach this machine.
        let builder = if to.is_loopback() { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| unanswered("open", to, &error))?;
        Ok(Self {
            client,
            to: to.with(None, None),
            login,
            root,
            authorization: Mutex::new(None),
            retries: StorageRetryPolicy::network().with_total(RETRIES),
            requests: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            requests: self.requests.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn to(&self) -> &Reference {
        &self.to
    }

    /// Makes an operation of one or more requests until it succeeds, fails for good, or the time is over.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T>>>(
        &self,
        mut operation: impl FnMut() -> F,
    ) -> Result<T> {
        self.retries.run(|_| operation()).await
    }

    /// Makes a request, and repeats it while that may help. A status below 500 other than 401, 403 and 429 is an answer
    /// if `allowed` has it.
    pub(crate) async fn send(&self, request: &Request, allowed: &[StatusCode]) -> Result<Answer> {
        self.patiently(|| self.once(request, allowed)).await
    }

    /// Makes a request without repeating it, other than to log in.
    pub(crate) async fn once(&self, request: &Request, allowed: &[StatusCode]) -> Result<Answer> {
        let url = self.root.join(&request.path);
        let url = url.map_err(|_| unexpected(request.what, &self.to, "it gave an address that is no URL"))?;
        let before = self.authorization.lock().await.clone();
        let mut response = self.exchange(request, &url, before.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.is_own(&url) {
            let header = response.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok());
            if let Some(challenge) = header.and_then(Challenge::parse) {
                if let Some(authorization) = self.authorize(&challenge, request.what).await? {
                    response = self.exchange(request, &url, Some(&authorization)).await?;
                    if response.status() != StatusCode::UNAUTHORIZED {
                        *self.authorization.lock().await = Some(authorization);
                    }
                }
            }
        }
        let answer = self.read(request.what, response, request.answer).await?;
        if answer.status.is_success() || allowed.contains(&answer.status) {
            return Ok(answer);
        }
        Err(answered(request.what, &self.to, &self.login, answer.status, &answer.body))
    }

    async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response> {
        if self.root.scheme() == "https" && url.scheme() != "https" {
            return Err(unexpected(request.what, &self.to, "it gave an address without TLS"));
        }
        let sent = request.body.as_ref().map_or(0, |body| body.len() as u64);
        let mut builder =
            self.client.request(request.method.clone(), url.clone()).timeout(patience(sent + request.answer));
        // An upload may go to another host, which must not learn the login.
        if let Some(authorization) = authorization.filter(|_| self.is_own(url)) {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(accept) = &request.accept {
            builder = builder.header(ACCEPT, accept);
        }
        if let Some(content_type) = request.content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        builder = match &request.body {
            Some(body) => builder.body(body.clone()),
            None if request.method == Method::POST => builder.header(CONTENT_LENGTH, 0),
            None => builder,
        };
        self.count(request.method != Method::GET && request.method != Method::HEAD);
        builder.send().await.map_err(|error| unanswered(request.what, &self.to, &error))
    }

    async fn read(&self, what: &str, mut response: Response, most: u64) -> Result<Answer> {
        let (status, headers, url) = (response.status(), response.headers().clone(), response.url().clone());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| unanswered(what, &self.to, &error))? {
            if (body.len() + piece.len()) as u64 > most {
                return Err(unexpected(what, &self.to, "its answer has more bytes than it said"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body: body.into(), url })
    }

    /// The header `Authorization` that answers a challenge; `None` when there is no login for it.
    async fn authorize(&self, challenge: &Challenge, what: &'static str) -> Result<Option<HeaderValue>> {
        let text = match (challenge, &self.login.0) {
            (_, Kind::Bearer(token)) => Some(format!("Bearer {token}")),
            (Challenge::Basic, _) => self.login.basic(),
            (Challenge::Bearer { realm, service, scope }, _) => {
                let token = self.token(realm, service.as_deref(), scope.as_deref(), what).await?;
                Some(format!("Bearer {token}"))
            }
        };
        let Some(text) = text else { return Ok(None) };
        let mut header = HeaderValue::from_str(&text).map_err(|_| {
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("the login for `{}` has a line break", self.to.registry()),
            )
            .with_hint("write it without")
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Asks the token server for a token.
    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        what: &'static str,
    ) -> Result<String> {
        let mut url =
            Url::parse(realm).map_err(|_| unexpected(what, &self.to, "its token server is no URL"))?;
        if url.scheme() != "https" && self.root.scheme() == "https" {
            return Err(unexpected(what, &self.to, "its token server is without TLS"));
        }
        // The registry names what the request needs; a push goes on to write.
        let own = format!("repository:{}:pull,push", self.to.repository());
        let scopes: Vec<&str> = match scope {
            Some(scope) if scope.contains(",push") || scope.contains("delete") || scope.contains('*') => {
                vec![scope]
            }
            Some(scope) if what != PUSH => vec![scope],
            _ => vec![&own],
        };
        let mut request =
            Request { method: Method::GET, what, answer: LARGEST_DOCUMENT, ..Request::default() };
        let mut authorization = None;
        if let Kind::Identity(token) = &self.login.0 {
            let mut form =
                format!("grant_type=refresh_token&client_id=lithops&refresh_token={}", encoded(token));
            for (name, value) in service
                .map(|one| ("service", one))
                .into_iter()
                .chain(scopes.iter().map(|one| ("scope", *one)))
            {
                form.push_str(&format!("&{name}={}", encoded(value)));
            }
            request.method = Method::POST;
            request.content_type = Some("application/x-www-form-urlencoded");
            request.body = Some(form.into());
        } else {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            query.extend_pairs(scopes.iter().map(|scope| ("scope", *scope)));
            drop(query);
            authorization = self.login.basic();
        }
        let mut builder = self.client.request(request.method.clone(), url).timeout(ANSWER);
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let (Some(kind), Some(body)) = (request.content_type, request.body) {
            builder = builder.header(CONTENT_TYPE, kind).body(body);
        }
        // A token changes nothing in the registry.
        self.count(false);
        let response = builder.send().await.map_err(|error| unanswered(what, &self.to, &error))?;
        let answer = self.read(what, response, LARGEST_DOCUMENT).await?;
        if !answer.status.is_success() {
            return Err(answered(what, &self.to, &self.login, answer.status, &answer.body));
        }
        let tokens: Tokens = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = Some(tokens.token).filter(|token| !token.is_empty()).unwrap_or(tokens.access_token);
        if token.is_empty() {
            return Err(unexpected(what, &self.to, "its token server gave no token"));
        }
        Ok(token)
    }

    /// Whether an address is of the registry itself.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    fn count(&self, is_write: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(u64::from(is_write), Ordering::Relaxed);
    }
}

/// What requests of a push are for.
pub(crate) const PUSH: &str = "push to";

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tokens {
    token: String,
    access_token: String,
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// How long a request with this many bytes may take.
fn patience(bytes: u64) -> Duration {
    ANSWER + Duration::from_secs(bytes / SLOWEST)
}
