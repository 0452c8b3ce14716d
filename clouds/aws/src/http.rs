//! The HTTP client under the SDK: connections that stay open while a function runs for minutes without a word.

use std::time::Duration;

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Gateways forget a connection over which nothing has gone for 350 s; a function may run for 900.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long an unused connection is kept: the service closes it some seconds later.
const IDLE: Duration = Duration::from_secs(55);

/// Lets this process have as many connections as the system allows: shells usually allow a thousand, and the system
/// far more. Returns how many files it may have open.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < most) {
        // Where that is refused the old limit stays.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The client of all requests of a backend.
///
/// # Errors
/// The machine has no root certificates.
pub fn client() -> Result<SharedHttpClient, std::io::Error> {
    Ok(SharedHttpClient::new(Http(connections()?)))
}

/// Connections that stay open.
pub(crate) type Connections = Client<HttpsConnector<Tcp>, SdkBody>;

/// Connections to services, none of which is open yet.
///
/// # Errors
/// The machine has no root certificates.
pub(crate) fn connections() -> Result<Connections, std::io::Error> {
    let mut tcp = Tcp::new();
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().wrap_connector(tcp);
    let builder =
        Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).clone();
    Ok(builder.build(connector))
}

#[derive(Debug, Clone)]
struct Http(Connections);

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(Box::new(error)))?;
            let response = client.request(request).await.map_err(|error| {
                // One that never came to a connection was never seen by the service.
                match error.is_connect() {
                    true => ConnectorError::io(Box::new(error)).never_connected(),
                    false => ConnectorError::io(Box::new(error)),
                }
            })?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(Box::new(error), None))
        })
    }
}
