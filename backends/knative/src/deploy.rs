//! Services: created if they are missing, listed and deleted.

use std::time::Duration;

use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    core::DynamicObject,
};
use lithops_core::{
    compute::{Runtime, RuntimeId},
    error::{Error, ErrorKind, Result},
};
use lithops_kubernetes::{Cluster, failure};
use tokio::time::{Instant, sleep};

use crate::{
    kinds::services,
    manifest::{MEMORY, RUNTIME, Wanted},
    state::{ServiceState, of_service},
};

/// How long a Service may take to be ready: its first pod must start, and its image be pulled.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A Service that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) url: Option<String>,
}

/// Creates a Service unless it is there, and waits until it is ready. Clients may do so at the same time.
///
/// # Errors
/// When the cluster refuses it, or it does not become ready.
pub(crate) async fn ensure(cluster: &Cluster, wanted: &Wanted<'_>, needs_url: bool) -> Result<Deployed> {
    let (services, name) = (services(cluster), wanted.name());
    let what = format!("create the Service `{name}`");
    let found = services
        .get_opt(&name)
        .await
        .map_err(|error| failed(&error, &format!("find the Service `{name}`")))?;
    if found.is_none() {
        let manifest = serde_json::from_value(wanted.service())
            .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot {what}: {error}")))?;
        match services.create(&PostParams::default(), &manifest).await {
            Ok(_) => tracing::info!(service = name, "created"),
            // Another client was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(failed(&error, &what)),
        }
    }
    let begun = Instant::now();
    loop {
        let service = services
            .get(&name)
            .await
            .map_err(|error| failed(&error, &format!("look at the Service `{name}`")))?;
        let words = match of_service(&service, needs_url) {
            ServiceState::Ready { revision, url } => return Ok(Deployed { name, revision, url }),
            ServiceState::Failed(words) => {
                let problem = format!("the Service `{name}` cannot run: {words}");
                return Err(Error::new(ErrorKind::ConfigInvalid, problem).with_hint(format!(
                    "`kubectl describe ksvc {name}` says more; `lithops runtime delete {name}` removes it"
                )));
            }
            ServiceState::Coming(words) => words,
        };
        if begun.elapsed() > PATIENCE {
            let problem = format!("the Service `{name}` is not ready after {PATIENCE:?}: {words}");
            return Err(Error::new(ErrorKind::Timeout, problem).with_hint(match needs_url {
                true => {
                    "has the cluster an ingress for Knative? Without one, name its activator: `knative: \
                     {activator_endpoint: ..}`"
                }
                false => "`kubectl get pods` and `kubectl describe revision` say what it waits for",
            }));
        }
        sleep(LOOK).await;
    }
}

/// The Services of lithops.
pub(crate) async fn all(cluster: &Cluster) -> Result<Vec<DynamicObject>> {
    let listed = services(cluster).list(&ListParams::default().labels(RUNTIME)).await;
    Ok(listed.map_err(|error| failed(&error, "list the Services"))?.items)
}

/// The Services of lithops, as runtimes.
pub(crate) async fn list(cluster: &Cluster) -> Result<Vec<Runtime>> {
    let of = |service: &DynamicObject| Runtime {
        id: RuntimeId(service.name_any()),
        memory: service.annotations().get(MEMORY).and_then(|memory| memory.parse().ok()),
    };
    Ok(all(cluster).await?.iter().map(of).collect())
}

/// Deletes a Service of lithops.
pub(crate) async fn delete(cluster: &Cluster, id: &RuntimeId) -> Result<()> {
    let missing = || {
        Error::new(ErrorKind::NotFound, format!("there is no Service `{id}` of lithops"))
            .with_hint("`lithops runtime list` says which are there")
    };
    // What was not made by lithops is left alone.
    if !all(cluster).await?.iter().any(|service| service.name_any() == id.0) {
        return Err(missing());
    }
    match services(cluster).delete(&id.0, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(missing()),
        Err(error) => Err(failed(&error, &format!("delete the Service `{id}`"))),
    }
}

/// The error of a request for objects of Knative.
pub(crate) fn failed(error: &kube::Error, what: &str) -> Error {
    let is_missing = matches!(error, kube::Error::Api(status)
        if status.code == 404
            && ["could not find the requested resource", "page not found"]
                .iter()
                .any(|words| status.message.contains(words)));
    if is_missing {
        let problem = format!("cannot {what}: the cluster has no Knative Serving");
        return Error::new(ErrorKind::Unsupported, problem)
            .with_hint("let an administrator install it: https://knative.dev/docs/install/");
    }
    if let kube::Error::Api(status) = error
        && let Some(hint) = hint_of_limit(&status.message)
    {
        let problem = format!("cannot {what}: {}", status.message);
        return Error::new(ErrorKind::ConfigInvalid, problem).with_hint(hint);
    }
    failure::of(error, what)
}

/// What to do where the cluster allows less than the configuration asks for. It is told when a Service is created.
fn hint_of_limit(message: &str) -> Option<&'static str> {
    let limits = [
        (
            "timeoutSeconds",
            "the cluster allows a shorter `runtime_timeout`: 600 s unless its administrator has raised \
             `max-revision-timeout-seconds` in the ConfigMap `config-defaults`",
        ),
        (
            "max-scale",
            "the cluster allows fewer `max_workers`: `max-scale-limit` in the ConfigMap `config-autoscaler`",
        ),
    ];
    limits.iter().find(|(words, _)| message.contains(words)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_allows_less_of_is_said_by_its_key() {
        let denied = |words: &str| {
            let message = format!(
                "admission webhook \"validation.webhook.serving.knative.dev\" denied the request: validation failed: {words}"
            );
            let status = kube::core::Status { code: 400, message, ..kube::core::Status::default() };
            failed(&kube::Error::Api(Box::new(status)), "create the Service `it`")
        };
        for (words, key) in [
            ("expected 0 <= 900 <= 600: spec.template.spec.timeoutSeconds", "`runtime_timeout`"),
            (
                "expected 1 <= 200 <= 100: spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]",
                "`max_workers`",
            ),
            ("must not set the field(s): spec.template.spec.hostPath", "section of the backend"),
        ] {
            let error = denied(words);
            assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains(key)), "{error:?}");
        }
    }
}
