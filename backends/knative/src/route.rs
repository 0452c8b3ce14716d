//! How requests find the workers of a Service, and what Knative's own answers mean.

use async_trait::async_trait;
use hyper::{
    HeaderMap, StatusCode, Uri,
    header::{HeaderName, HeaderValue},
    http::uri::Authority,
};
use lithops_activations::{Refusal, ServiceRules, Target};
use lithops_core::{
    compute::{Answer, ExitReason},
    error::{Error, ErrorKind, Result},
};
use lithops_kubernetes::Cluster;

use crate::{config::Routing, deploy::Deployed, pods};

/// The headers by which the activator knows the Revision that a request is for.
const NAMESPACE: HeaderName = HeaderName::from_static("knative-serving-namespace");
const REVISION: HeaderName = HeaderName::from_static("knative-serving-revision");

/// The end of the hosts of Services where no domain was configured for them. It leads nowhere.
const NO_DOMAIN: &str = ".example.com";

/// What is wrong with the host of a Service that requests go to by its URL: it is one that no cluster can have.
pub(crate) fn leads_nowhere(url: &str) -> Option<Error> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host().filter(|host| host.ends_with(NO_DOMAIN))?;
    let problem = format!(
        "requests to `{host}` reach no cluster: Services have this domain where the administrator has configured none"
    );
    Some(Error::new(ErrorKind::ConfigInvalid, problem).with_hint(
        "name the ingress of the cluster: `knative: {ingress_endpoint: http://ADDRESS}` (`kubectl get svc -A` shows it, as \
         `kourier` or `istio-ingressgateway`), or let the administrator configure a domain: \
         https://knative.dev/docs/serving/using-a-custom-domain/",
    ))
}

/// Whether the URL of the Service must be known, so that its ingress must serve it.
pub(crate) fn needs_url(routing: &Routing) -> bool {
    match routing {
        Routing::Service => true,
        Routing::Ingress(_, suffix) => suffix.is_none(),
        Routing::Activator(_) => false,
    }
}

/// Where the requests to a Service go.
///
/// # Errors
/// When the Service has no URL, or one that cannot be used.
pub(crate) fn target(routing: &Routing, deployed: &Deployed, namespace: &str, http2: bool) -> Result<Target> {
    let unusable = |what: &str| {
        let problem = format!("the Service `{}` {what}", deployed.name);
        Error::new(ErrorKind::Unexpected, problem).with_hint(
            "name the ingress and the host: `knative: {ingress_endpoint: .., service_host_suffix: ..}`",
        )
    };
    let url = || -> Result<Uri> {
        let text = deployed.url.as_deref().ok_or_else(|| unusable("has no URL"))?;
        text.parse().map_err(|error| unusable(&format!("has the URL `{text}`: {error}")))
    };
    let host = |uri: &Uri| uri.authority().cloned().ok_or_else(|| unusable("has a URL without a host"));
    let (connect, authority) = match routing {
        Routing::Service => {
            if let Some(error) = deployed.url.as_deref().and_then(leads_nowhere) {
                return Err(error);
            }
            let url = url()?;
            let host = host(&url)?;
            (url, host)
        }
        Routing::Ingress(ingress, Some(suffix)) => {
            let name = format!("{}{suffix}", deployed.name);
            let host = Authority::try_from(name.as_str()).map_err(|error| {
                Error::new(ErrorKind::ConfigInvalid, format!("`{name}` is no host: {error}"))
                    .with_hint("write it as `knative: {service_host_suffix: .default.knative.test}`")
            })?;
            (ingress.clone(), host)
        }
        Routing::Ingress(ingress, None) => (ingress.clone(), host(&url()?)?),
        Routing::Activator(activator) => {
            let name = format!("{}.{namespace}.svc.cluster.local", deployed.name);
            let host = Authority::try_from(name.as_str());
            (activator.clone(), host.map_err(|error| unusable(&format!("has a strange name: {error}")))?)
        }
    };
    Ok(Target { connect, authority, http2 })
}

/// What is known of a Service whose workers are asked for.
#[derive(Debug)]
pub(crate) struct Rules {
    cluster: Cluster,
    revision: String,
    headers: HeaderMap,
}

impl Rules {
    /// The rules of a Service.
    ///
    /// # Errors
    /// When its names cannot be headers.
    pub(crate) fn new(cluster: &Cluster, routing: &Routing, deployed: &Deployed) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if matches!(routing, Routing::Activator(_)) {
            for (name, value) in [(NAMESPACE, &cluster.namespace), (REVISION, &deployed.revision)] {
                let value = HeaderValue::from_str(value).map_err(|error| {
                    Error::new(ErrorKind::Unexpected, format!("`{value}` cannot be in a header: {error}"))
                })?;
                headers.insert(name, value);
            }
        }
        Ok(Self { cluster: cluster.clone(), revision: deployed.revision.clone(), headers })
    }
}

#[async_trait]
impl ServiceRules for Rules {
    async fn headers(&self, _: bool) -> Result<HeaderMap> {
        Ok(self.headers.clone())
    }

    fn judge(&self, refusal: &Refusal) -> Option<Answer> {
        // What waits in front of a pod, or of all pods, is full: this request has never come to a worker.
        let is_full = refusal.status == StatusCode::SERVICE_UNAVAILABLE
            && (refusal.text.contains("queue full") || refusal.text.contains("capacity"));
        is_full.then_some(Answer::Silent(ExitReason::Throttled(std::time::Duration::ZERO)))
    }

    async fn why_none_comes(&self) -> Option<String> {
        let why = pods::why_none_comes(&self.cluster, &self.revision).await?;
        Some(format!("the Revision `{}` has no pods that work: {why}", self.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployed() -> Deployed {
        Deployed {
            name: "lithops-1".to_owned(),
            revision: "lithops-1-00001".to_owned(),
            url: Some("https://lithops-1.default.knative.test".to_owned()),
        }
    }

    fn uri(text: &str) -> Uri {
        text.parse().expect("an address")
    }

    #[test]
    fn requests_have_an_address_and_a_host() {
        let ingress = uri("http://10.0.0.1:31380");
        let suffix = Some(".batch.example.org".to_owned());
        for (routing, connect, host, waits) in [
            (
                Routing::Service,
                "https://lithops-1.default.knative.test/",
                "lithops-1.default.knative.test",
                true,
            ),
            (
                Routing::Ingress(ingress.clone(), None),
                "http://10.0.0.1:31380/",
                "lithops-1.default.knative.test",
                true,
            ),
            (
                Routing::Ingress(ingress, suffix),
                "http://10.0.0.1:31380/",
                "lithops-1.batch.example.org",
                false,
            ),
            (
                Routing::Activator(uri("http://10.0.0.2:8012")),
                "http://10.0.0.2:8012/",
                "lithops-1.batch.svc.cluster.local",
                false,
            ),
        ] {
            let target = target(&routing, &deployed(), "batch", true).expect("a target");
            assert_eq!((target.connect.to_string().as_str(), target.authority.as_str()), (connect, host));
            assert_eq!(needs_url(&routing), waits);
        }
        // A fresh installation has no domain.
        let url = || Some("http://lithops-1.default.example.com".to_owned());
        let fresh = Deployed { url: url(), ..deployed() };
        let error = target(&Routing::Service, &fresh, "batch", true).expect_err("nothing is there");
        assert!(error.hint().is_some_and(|hint| hint.contains("ingress_endpoint")), "{error:?}");
        let by_host = target(&Routing::Ingress(uri("http://10.0.0.1"), None), &fresh, "batch", true);
        assert_eq!(by_host.expect("the ingress knows it").authority, "lithops-1.default.example.com");
        let without = Deployed { url: None, ..deployed() };
        let error = target(&Routing::Service, &without, "batch", true).expect_err("it has no URL");
        assert!(error.hint().is_some_and(|hint| hint.contains("ingress_endpoint")), "{error:?}");
    }
}
