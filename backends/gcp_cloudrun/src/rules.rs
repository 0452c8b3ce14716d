//! [`Rules`]: what Cloud Run says by its answers, and the tokens that it asks for.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::{
    HeaderMap, StatusCode, Uri,
    header::{AUTHORIZATION, HeaderValue},
    http::uri::Authority,
};
use lithops_activations::{Refusal, ServiceRules, Target};
use lithops_core::{
    compute::{Answer, ExitReason},
    error::{Error, ErrorKind, Result},
};

use crate::{
    admin::Admin,
    deploy::{self, Deployed},
};

/// What is known of a service whose instances are asked for.
#[derive(Debug)]
pub(crate) struct Rules {
    admin: Arc<Admin>,
    service: Deployed,
    timeout: u64,
}

impl Rules {
    pub(crate) fn new(admin: Arc<Admin>, service: Deployed, timeout: u64) -> Self {
        Self { admin, service, timeout }
    }
}

/// Where requests to a service go.
///
/// # Errors
/// Its URI is none.
pub(crate) fn target(service: &Deployed) -> Result<Target> {
    let strange = || {
        let problem = format!("the service `{}` has the strange URI `{}`", service.name, service.uri);
        Error::new(ErrorKind::Unexpected, problem)
    };
    let connect: Uri = service.uri.parse().map_err(|_| strange())?;
    let authority: Authority = connect.authority().cloned().ok_or_else(strange)?;
    Ok(Target { connect, authority, http2: true })
}

#[async_trait]
impl ServiceRules for Rules {
    async fn headers(&self, refused: bool) -> Result<HeaderMap> {
        let token = self.admin.tokens.id(&self.service.uri, refused).await?;
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| Error::new(ErrorKind::Unexpected, "the ID token is no text"))?;
        value.set_sensitive(true);
        Ok([(AUTHORIZATION, value)].into_iter().collect())
    }

    fn judge(&self, refusal: &Refusal) -> Option<Answer> {
        let (name, region) = (&self.service.name, &self.admin.region);
        match refusal.status {
            StatusCode::UNAUTHORIZED => Some(Answer::Denied(format!(
                "Cloud Run does not accept the ID token of {} for `{}`: is this machine's clock right?",
                self.admin.tokens.whose(),
                self.service.uri
            ))),
            StatusCode::FORBIDDEN => Some(Answer::Denied(format!(
                "{} may not invoke the service `{name}`: `gcloud run services add-iam-policy-binding {name} --region {region} \
                 --member=serviceAccount:.. --role=roles/run.invoker`",
                self.admin.tokens.whose()
            ))),
            StatusCode::GATEWAY_TIMEOUT => Some(Answer::Said(ExitReason::Lost(format!(
                "the request timeout of {} s is over (`runtime_timeout`)",
                self.timeout
            )))),
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                Some(Answer::Denied(format!("the request is too large for Cloud Run: {}", refusal.words())))
            }
            _ => None,
        }
    }

    async fn why_none_comes(&self) -> Option<String> {
        deploy::why_none_comes(&self.admin, &self.service.name).await
    }
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;
    use crate::config::GcpCloudRunConfig;

    async fn rules() -> Rules {
        let yaml = "gcp_cloudrun: {region: us-east1, project: p, endpoint: 'http://127.0.0.1:1'}";
        let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
        let config = Config::load(&sources, &Environment::new(".")).expect("YAML");
        let config = GcpCloudRunConfig::read(&config).expect("it is right");
        let admin = Arc::new(Admin::new(&config).await.expect("region and project are there"));
        let service =
            Deployed { name: "lithops-1".to_owned(), uri: "https://lithops-1-x.a.run.app".to_owned() };
        Rules::new(admin, service, 300)
    }

    fn refusal(status: u16, text: &str) -> Refusal {
        let status = StatusCode::from_u16(status).expect("a status");
        Refusal { status, headers: HeaderMap::new(), text: text.to_owned() }
    }

    #[tokio::test]
    async fn answers_of_the_front_end_mean_what_they_mean_there() {
        let rules = rules().await;
        for (status, wanted) in [
            (401, "does not accept the ID token"),
            (403, "gcloud run services add-iam-policy-binding lithops-1 --region us-east1"),
            (413, "too large for Cloud Run"),
            (431, "too large for Cloud Run"),
        ] {
            let Some(Answer::Denied(words)) = rules.judge(&refusal(status, "<html>")) else {
                panic!("{status}")
            };
            assert!(words.contains(wanted), "{words}");
        }
        let Some(Answer::Said(ExitReason::Lost(words))) = rules.judge(&refusal(504, "")) else {
            panic!("calls may have begun")
        };
        assert!(words.contains("300 s"), "{words}");
        // Full, gone, or broken: that means what it means everywhere.
        for status in [404, 429, 500, 502, 503] {
            assert_eq!(rules.judge(&refusal(status, "")), None, "{status}");
        }
    }

    #[tokio::test]
    async fn requests_go_to_the_uri_of_the_service() {
        let rules = rules().await;
        let target = target(&rules.service).expect("a target");
        assert_eq!(target.authority.as_str(), "lithops-1-x.a.run.app");
        assert!(target.http2);
        let strange = Deployed { name: "lithops-1".to_owned(), uri: "/none".to_owned() };
        assert!(super::target(&strange).is_err());
    }
}
