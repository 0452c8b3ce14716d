//! [`Admin`]: requests to the Admin API of Cloud Run, and to its neighbours.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lithops_cloud_google::{Tokens, of_answer};
use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    storage::may_succeed_later,
};
use reqwest::{Client, Method};
use serde_json::Value;
use tokio::time::Instant;

use crate::{SCHEME, config::GcpCloudRunConfig};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests that may succeed later are made again. The API takes few writes a minute.
const PATIENCE: Duration = Duration::from_secs(300);
/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));

/// The services of Google that deploying needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// The Admin API of Cloud Run.
    Run,
    /// Artifact Registry.
    Registry,
    /// Projects, and what may be done in them.
    Projects,
    /// Service Usage, which knows quotas.
    Quotas,
}

/// The Admin API of one project and region.
#[derive(Debug)]
pub(crate) struct Admin {
    http: Client,
    endpoint: Option<String>,
    pub(crate) project: String,
    pub(crate) region: String,
    pub(crate) tokens: Arc<Tokens>,
    writes: AtomicU64,
}

impl Admin {
    /// The API under a configuration.
    ///
    /// # Errors
    /// Region or project are not known.
    pub(crate) async fn new(config: &GcpCloudRunConfig) -> Result<Self> {
        let region = config.region.clone().ok_or_else(|| {
            Error::new(ErrorKind::ConfigInvalid, "`region` is missing in section `gcp_cloudrun`")
                .with_hint("write `gcp: {region: us-east1}`")
                .with_context("key", format!("{SCHEME}.region"))
        })?;
        let mut http = Client::builder().timeout(TIMEOUT);
        if config.endpoint.is_some() {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("this machine can make no requests: {error}"))
        })?;
        let project = match project(config) {
            Some(project) => project,
            None => metadata(&http, "project/project-id").await.map_err(|_| {
                Error::new(
                    ErrorKind::ConfigInvalid,
                    "the project is not known, and the credentials do not say it",
                )
                .with_hint("write `gcp: {project: my-project}`")
                .with_context("key", "gcp.project")
            })?,
        };
        let tokens = Arc::new(Tokens::new(config.key.clone(), config.invoker.clone()));
        Ok(Self {
            http,
            endpoint: config.endpoint.clone(),
            project,
            region,
            tokens,
            writes: AtomicU64::new(0),
        })
    }

    /// `projects/P/locations/R`.
    pub(crate) fn location(&self) -> String {
        format!("projects/{}/locations/{}", self.project, self.region)
    }

    /// How many requests have changed something.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    pub(crate) async fn get(&self, api: Api, path: &str, doing: &str) -> Result<Value> {
        self.call(api, Method::GET, path, None, doing).await
    }

    /// Makes a request. It is made again while that may help, so that it must not matter when it is carried out twice.
    pub(crate) async fn call(
        &self,
        api: Api,
        method: Method,
        path: &str,
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Value> {
        let begun = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let error = match self.once(api, method.clone(), path, body, doing).await {
                Err(error) if may_succeed_later(&error) => error,
                answer => return answer,
            };
            if begun.elapsed() + pause > PATIENCE {
                return Err(error);
            }
            tracing::info!(%error, ?pause, "a request to Cloud Run failed and is made again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn once(
        &self,
        api: Api,
        method: Method,
        path: &str,
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Value> {
        let token = self.tokens.access().await?;
        let url = format!("{}/{path}", self.base(api));
        let is_write = method != Method::GET && !path.ends_with(":testIamPermissions");
        let mut request = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let failed = |error: reqwest::Error| {
            // The address is in the configuration, and a URL in an error helps little.
            Error::new(ErrorKind::Io, format!("cannot {doing}: {}", in_words(&error.without_url())))
                .with_hint("can this machine reach the services of Google?")
                .with_retry(Retry::Later)
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if !status.is_success() {
            return Err(of_answer(status.as_u16(), &text, doing));
        }
        if is_write {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        serde_json::from_str(&text).map_err(|_| {
            Error::new(ErrorKind::Io, format!("cannot {doing}: the answer is no JSON"))
                .with_retry(Retry::Later)
        })
    }

    fn base(&self, api: Api) -> String {
        let host = match api {
            Api::Run => "run",
            Api::Registry => "artifactregistry",
            Api::Projects => "cloudresourcemanager",
            Api::Quotas => "serviceusage",
        };
        let version = match api {
            Api::Run => "v2",
            Api::Registry | Api::Projects => "v1",
            Api::Quotas => "v1beta1",
        };
        match &self.endpoint {
            Some(endpoint) => format!("{endpoint}/{version}"),
            None => format!("https://{host}.googleapis.com/{version}"),
        }
    }

    /// The service account that instances run as.
    ///
    /// # Errors
    /// It is neither configured nor that of the credentials.
    pub(crate) async fn service_account(&self, config: &GcpCloudRunConfig) -> Result<String> {
        let of_key = || config.key.as_ref().and_then(|key| key.client_email.clone());
        if let Some(account) = config.service_account.clone().or_else(of_key) {
            return Ok(account);
        }
        let missing = || {
            Error::new(
                ErrorKind::ConfigInvalid,
                "`service_account` is missing in section `gcp_cloudrun`: instances run as one",
            )
            .with_hint("write `gcp_cloudrun: {service_account: NAME@PROJECT.iam.gserviceaccount.com}`; `lithops doctor` says what it must be allowed")
            .with_context("key", "gcp_cloudrun.service_account")
        };
        if config.key.is_some() {
            return Err(missing());
        }
        metadata(&self.http, "instance/service-accounts/default/email").await.map_err(|_| missing())
    }
}

fn project(config: &GcpCloudRunConfig) -> Option<String> {
    let of_key = || config.key.as_ref().and_then(|key| key.project.clone());
    let of_environment = || std::env::var("GOOGLE_CLOUD_PROJECT").ok().filter(|project| !project.is_empty());
    config.project.clone().or_else(of_key).or_else(of_environment)
}

/// What the metadata server says.
async fn metadata(http: &Client, path: &str) -> std::result::Result<String, reqwest::Error> {
    let host = std::env::var("GCE_METADATA_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "metadata.google.internal".to_owned());
    let url = format!("http://{host}/computeMetadata/v1/{path}");
    let asked =
        http.get(url).header("Metadata-Flavor", "Google").timeout(Duration::from_secs(3)).send().await?;
    Ok(asked.error_for_status()?.text().await?.trim().to_owned())
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
