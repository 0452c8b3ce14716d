//! What failures of Google's services mean: their JSON as a sentence, and what to do.

use lithops_core::error::{Error, ErrorKind, Retry};
use serde_json::Value;

/// The error of an answer with this status and body. `doing` says what was tried: "look at the service `x`".
#[must_use]
pub fn of_answer(status: u16, body: &str, doing: &str) -> Error {
    let json: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let error = &json["error"];
    let said = error["message"].as_str().map_or_else(|| one_line(body), one_line);
    let reason = error["details"]
        .as_array()
        .and_then(|details| details.iter().find_map(|detail| detail["reason"].as_str()))
        .unwrap_or_default();
    let message = match said.is_empty() {
        true => format!("cannot {doing}: the service answered {status}"),
        false => format!("cannot {doing}: {said}"),
    };
    let (kind, retry, hint) = match (status, reason) {
        (_, "SERVICE_DISABLED") => (
            ErrorKind::PermissionDenied,
            Retry::Never,
            "switch the services on: `gcloud services enable run.googleapis.com artifactregistry.googleapis.com`",
        ),
        (_, "BILLING_DISABLED") => {
            (ErrorKind::PermissionDenied, Retry::Never, "link a billing account to the project")
        }
        (401, _) => (
            ErrorKind::PermissionDenied,
            Retry::Never,
            "the token was not accepted: is the clock right, and is the key still valid?",
        ),
        (403, _) => (
            ErrorKind::PermissionDenied,
            Retry::Never,
            "`lithops doctor` lists the permissions that are needed and missing",
        ),
        (404, _) => (ErrorKind::NotFound, Retry::Never, "look at the project, the region and the name"),
        (409, _) => (ErrorKind::AlreadyExists, Retry::Never, "something else has made it meanwhile"),
        (429, _) => {
            (ErrorKind::RateLimited, Retry::Later, "the service takes few writes a minute: try again later")
        }
        (500.., _) => (ErrorKind::Io, Retry::Later, "the service has failed: try again later"),
        _ => (ErrorKind::InvalidInput, Retry::Never, "look at the configuration"),
    };
    Error::new(kind, message).with_hint(hint).with_retry(retry).with_context("status", status.to_string())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_a_sentence_with_what_to_do() {
        let disabled = r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"Cloud Run Admin API has not been used\n in project 1.","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}"#;
        for (status, body, kind, said, hint) in [
            (
                403,
                disabled,
                ErrorKind::PermissionDenied,
                "has not been used in project 1.",
                "gcloud services enable run.googleapis.com",
            ),
            (
                403,
                r#"{"error":{"message":"Permission 'run.services.create' denied"}}"#,
                ErrorKind::PermissionDenied,
                "'run.services.create' denied",
                "lithops doctor",
            ),
            (404, "{}", ErrorKind::NotFound, "cannot deploy", "region"),
            (409, "", ErrorKind::AlreadyExists, "409", "meanwhile"),
            (429, "<html>too many</html>", ErrorKind::RateLimited, "too many", "later"),
            (503, "", ErrorKind::Io, "503", "later"),
            (
                400,
                r#"{"error":{"message":"bad memory"}}"#,
                ErrorKind::InvalidInput,
                "bad memory",
                "configuration",
            ),
        ] {
            let error = of_answer(status, body, "deploy the service `x`");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(said), "{error}");
            assert!(error.hint().is_some_and(|given| given.contains(hint)), "{error:?}");
        }
    }
}
