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
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
    redirect,
};
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
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// The lowest speed of a network, in bytes per second.
const SLOWEST: u64 = 64 << 10;
/// How long a request is repeated that fails and may succeed later.
const RETRIES: Duration = Duration::from_secs(30);
/// The most bytes of a document.
pub(super) const LARGEST_DOCUMENT: u64 = 8 << 20;

/// What requests of a push are for.
pub(crate) const PUSH: &str = "push to";

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
    pub(super) client: Client,
    pub(super) to: Reference,
    pub(super) login: Login,
    pub(super) root: Url,
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
        // A host that the registry leads to is not told the login.
        if response.status() == StatusCode::UNAUTHORIZED && self.is_own(response.url()) {
            let header = response.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok());
            if let Some(challenge) = header.and_then(Challenge::parse)
                && let Some(authorization) = self.authorize(&challenge, request.what).await?
            {
                response = self.exchange(request, &url, Some(&authorization)).await?;
                if response.status() != StatusCode::UNAUTHORIZED {
                    *self.authorization.lock().await = Some(authorization);
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

    pub(super) async fn read(&self, what: &str, mut response: Response, most: u64) -> Result<Answer> {
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

    /// Whether an address is of the registry itself.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    pub(super) fn count(&self, is_write: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(u64::from(is_write), Ordering::Relaxed);
    }
}

/// How long a request with this many bytes may take.
fn patience(bytes: u64) -> Duration {
    ANSWER + Duration::from_secs(bytes / SLOWEST)
}
