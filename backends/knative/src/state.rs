//! What the conditions of a Service mean.

use kube::core::DynamicObject;
use serde_json::Value;

/// Whether a Service can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServiceState {
    /// It has a Revision that is ready, and a URL if there is an ingress.
    Ready {
        /// The name of its Revision.
        revision: String,
        /// Its URL, once the ingress serves it.
        url: Option<String>,
    },
    /// It will be, as far as is known; the words say what is missing.
    Coming(String),
    /// It will never be.
    Failed(String),
}

/// The state of a Service. Where `needs_url` is set it is ready when its ingress is.
pub(crate) fn of_service(service: &DynamicObject, needs_url: bool) -> ServiceState {
    let status = &service.data["status"];
    let seen = status["observedGeneration"].as_i64();
    if seen.is_none() || seen != service.metadata.generation {
        return ServiceState::Coming("Knative has not looked at it yet".to_owned());
    }
    // A Revision that was ready once is used, although some of its containers may have crashed since: there is no other.
    let Some(revision) = status["latestReadyRevisionName"].as_str() else {
        if let Some(failed) = condition(status, "ConfigurationsReady").filter(|found| found.is_false()) {
            return ServiceState::Failed(failed.words());
        }
        let found = condition(status, "ConfigurationsReady");
        return ServiceState::Coming(
            found.map_or_else(|| "it has no Revision yet".to_owned(), |found| found.words()),
        );
    };
    let is_routed = condition(status, "RoutesReady").is_some_and(|found| found.status == "True");
    if needs_url && !is_routed {
        let found = condition(status, "RoutesReady");
        let words = found.map_or_else(|| "it has no route yet".to_owned(), |found| found.words());
        return ServiceState::Coming(words);
    }
    let url = status["url"].as_str().map(str::to_owned);
    ServiceState::Ready { revision: revision.to_owned(), url }
}

/// One condition of a status.
struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn is_false(&self) -> bool {
        self.status == "False"
    }

    fn words(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => "it says nothing of why".to_owned(),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let all = status["conditions"].as_array()?;
    let found = all.iter().find(|condition| condition["type"] == kind)?;
    let text = |name: &str| found[name].as_str().unwrap_or_default();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(generation: i64, status: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "it", "generation": generation},
            "status": status,
        });
        serde_json::from_value(object).expect("an object")
    }

    #[test]
    fn a_service_is_ready_when_its_revision_is_and_its_route_if_that_is_needed() {
        let ready = |routed: &str| {
            json!({
                "observedGeneration": 1,
                "latestReadyRevisionName": "it-00001",
                "url": "http://it.default.example.com",
                "conditions": [
                    {"type": "ConfigurationsReady", "status": "True"},
                    {"type": "Ready", "status": routed},
                    {"type": "RoutesReady", "status": routed, "reason": "IngressNotConfigured"},
                ],
            })
        };
        let is = ServiceState::Ready {
            revision: "it-00001".to_owned(),
            url: Some("http://it.default.example.com".to_owned()),
        };
        assert_eq!(of_service(&object(1, &ready("True")), true), is);
        assert_eq!(of_service(&object(1, &ready("Unknown")), false), is);
        assert_eq!(
            of_service(&object(1, &ready("Unknown")), true),
            ServiceState::Coming("IngressNotConfigured".to_owned())
        );
        assert!(matches!(of_service(&object(2, &ready("True")), true), ServiceState::Coming(_)), "it is old");
        assert!(matches!(of_service(&object(1, &json!({})), true), ServiceState::Coming(_)));
    }

    #[test]
    fn a_revision_that_was_never_ready_says_why() {
        let failed = json!({
            "observedGeneration": 1,
            "conditions": [{
                "type": "ConfigurationsReady",
                "status": "False",
                "reason": "RevisionFailed",
                "message": "Revision \"it-00001\" failed with message: Unable to fetch image.",
            }],
        });
        let once_ready = json!({
            "observedGeneration": 1,
            "latestReadyRevisionName": "it-00001",
            "conditions": failed["conditions"],
        });
        assert!(matches!(of_service(&object(1, &once_ready), false), ServiceState::Ready { .. }));
        let ServiceState::Failed(words) = of_service(&object(1, &failed), false) else { panic!("it failed") };
        assert!(words.starts_with("RevisionFailed: ") && words.contains("Unable to fetch image"), "{words}");
    }
}
