//! [`ServiceRules`]: what a backend knows of its platform.

use std::fmt::Debug;

use async_trait::async_trait;
use hyper::{HeaderMap, Uri, http::uri::Authority};
use lithops_core::{compute::Answer, error::Result};

use crate::failure::Refusal;

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The scheme, host and port that connections are made to.
    pub connect: Uri,
    /// The host that requests name. It is another than that of the connection where requests go through an ingress.
    pub authority: Authority,
    /// Whether HTTP/2 is spoken without asking whether the other side does. Over TLS the two sides agree by themselves.
    pub http2: bool,
}

/// What a backend knows of its platform. All methods but the first have answers that are right for most platforms.
#[async_trait]
pub trait ServiceRules: Debug + Send + Sync + 'static {
    /// The headers of the next request, such as a token. `refused` says that the last ones were not accepted, so that a
    /// token must be made anew.
    ///
    /// # Errors
    /// When there can be none. The activation has not begun then.
    async fn headers(&self, refused: bool) -> Result<HeaderMap>;

    /// What an answer other than a success means, where this platform says more by it than others; `None` for what it
    /// means everywhere. An answer of a worker itself is not asked about.
    fn judge(&self, refusal: &Refusal) -> Option<Answer> {
        let _ = refusal;
        None
    }

    /// Asked while no worker of the service has ever answered and one is waited for: why none will come, in the words of
    /// the platform; `None` while one may still come.
    async fn why_none_comes(&self) -> Option<String> {
        None
    }
}
