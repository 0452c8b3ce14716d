//! What failures of Lambda mean for an activation, and for a request that manages functions.

use std::time::Duration;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lithops_cloud_aws::{code, describe, failed};
use lithops_core::{
    compute::{Answer, ExitReason},
    error::{Error, ErrorKind, Retry},
};
use serde::Deserialize;

/// How many bytes of the end of an instance's log are part of an error. The rest is in CloudWatch.
const LOG_TAIL: usize = 600;

/// The error that the function, or the instance around it, has ended with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FunctionError {
    error_type: String,
    error_message: String,
}

/// Why an instance ended without an answer, by the error that the service gives.
pub(crate) fn of_function(payload: &[u8], log: Option<&str>, request: &str) -> ExitReason {
    let said: FunctionError = serde_json::from_slice(payload).unwrap_or_else(|_| FunctionError {
        error_type: "an error".to_owned(),
        error_message: String::from_utf8_lossy(payload).into_owned(),
    });
    let log = log.and_then(|log| STANDARD.decode(log).ok()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let FunctionError { error_type, error_message } = &said;
    let what = if error_message.is_empty() { error_type } else { error_message };
    let words =
        format!("the function instance failed: {what} ({error_type}, request {request}){}", tail(&log));
    let (used, sold) = (megabytes(&log, "Max Memory Used: "), megabytes(&log, "Memory Size: "));
    let is_full = used.zip(sold).is_some_and(|(used, sold)| used >= sold);
    let was_killed = error_type == "Runtime.ExitError" && error_message.contains("signal: killed");
    if error_type == "Runtime.OutOfMemory" || was_killed && is_full {
        let sold = sold.map_or_else(String::new, |sold| format!(" of {sold} MB"));
        return ExitReason::OutOfMemory(format!(
            "the function instance used all its memory{sold}; raise `runtime_memory` ({words})"
        ));
    }
    // A program that can never start is refused: another try would end in the same way.
    if ["Runtime.InvalidEntrypoint", "Runtime.InvalidWorkingDir", "Extension."]
        .iter()
        .any(|kind| error_type.starts_with(kind))
    {
        return ExitReason::Refused(words);
    }
    ExitReason::Lost(words)
}

/// What an invocation that failed says about the service.
pub(crate) fn of_invocation<E>(error: &SdkError<E, HttpResponse>) -> Answer
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let words = describe(error);
    let SdkError::ServiceError(service) = error else {
        return match error {
            // Nothing was sent: there are no credentials, or none at the moment.
            SdkError::ConstructionFailure(_) => Answer::Denied(of(error, "invoke the function").to_string()),
            SdkError::DispatchFailure(failure) if failure.is_user() => Answer::Denied(words),
            _ => Answer::Silent(ExitReason::Unanswered(words)),
        };
    };
    let status = service.raw().status().as_u16();
    let after = service.raw().headers().get("retry-after").and_then(|after| after.parse().ok());
    let pause = after.map_or(Duration::ZERO, Duration::from_secs);
    match service.err().code().unwrap_or_default() {
        // The service says these before it runs anything: no call has begun.
        "TooManyRequestsException"
        | "EC2ThrottledException"
        | "EC2AccessDeniedException"
        | "ENILimitReachedException"
        | "ENINotReadyException"
        | "SubnetIPAddressLimitReachedException"
        | "EFSMountConnectivityException"
        | "ResourceNotReadyException"
        | "ResourceConflictException"
        | "ThrottlingException"
        | "Throttling" => Answer::Silent(ExitReason::Throttled(pause)),
        "ResourceNotFoundException" => Answer::Gone(format!("{words}; something deletes the function")),
        _ if status == 429 => Answer::Silent(ExitReason::Throttled(pause)),
        _ if status >= 500 => Answer::Silent(ExitReason::Unanswered(words)),
        _ => Answer::Denied(of(error, "invoke the function").to_string()),
    }
}

/// The error of a request that manages functions. Codes that all services of AWS have are those of `clouds/aws`.
pub(crate) fn of<E>(error: &SdkError<E, HttpResponse>, what: &str) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let refuse =
        |kind, hint: &str| Error::new(kind, format!("cannot {what}: {}", describe(error))).with_hint(hint);
    match code(error) {
        "ResourceConflictException" => {
            refuse(ErrorKind::AlreadyExists, "somebody else is changing it").with_retry(Retry::Later)
        }
        "CodeStorageExceededException" => {
            refuse(ErrorKind::Io, "delete functions that nobody uses: `lithops runtime list`")
        }
        "InvalidParameterValueException" | "ValidationException" => refuse(
            ErrorKind::ConfigInvalid,
            "look at section `aws_lambda`; a new role takes some seconds until it can be used",
        ),
        _ => failed(error, what),
    }
}

fn tail(log: &str) -> String {
    let own =
        |line: &&str| !["START ", "END ", "REPORT ", "INIT_START"].iter().any(|own| line.starts_with(own));
    let lines: Vec<_> = log.lines().filter(own).filter(|line| !line.trim().is_empty()).collect();
    let all = lines.join(" | ");
    let mut from = all.len().saturating_sub(LOG_TAIL);
    while !all.is_char_boundary(from) {
        from += 1;
    }
    if all.is_empty() { String::new() } else { format!("; its log ends with: {}", &all[from..]) }
}

fn megabytes(log: &str, before: &str) -> Option<u64> {
    let rest = log.rsplit_once(before)?.1;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(used: u64) -> String {
        STANDARD.encode(format!(
            "START RequestId: 1 Version: $LATEST\nsomething\nto say\nEND RequestId: 1\nREPORT RequestId: 1\tDuration: 2.0 ms\tMemory Size: 256 MB\tMax Memory Used: {used} MB\t\n"
        ))
    }

    #[test]
    fn an_instance_that_ends_without_an_answer_is_told_by_its_cause() {
        let killed = br#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: 1 Error: Runtime exited with error: signal: killed"}"#;
        let ExitReason::OutOfMemory(words) = of_function(killed, Some(&log(256)), "1") else {
            panic!("memory")
        };
        assert!(
            words.contains("of 256 MB; raise `runtime_memory`") && words.contains("something | to say"),
            "{words}"
        );
        let ExitReason::Lost(words) = of_function(killed, Some(&log(90)), "1") else { panic!("lost") };
        assert!(words.contains("signal: killed") && words.contains("request 1"), "{words}");
        let late = br#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 5.00 seconds"}"#;
        assert!(
            matches!(of_function(late, None, "1"), ExitReason::Lost(words) if words.contains("timed out after 5.00"))
        );
        let wrong = br#"{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"no bootstrap"}"#;
        assert!(matches!(of_function(wrong, None, "1"), ExitReason::Refused(_)));
        assert!(
            matches!(of_function(b"no json", Some("?"), "1"), ExitReason::Lost(words) if words.contains("no json"))
        );
    }

    #[test]
    fn a_tail_is_cut_between_characters() {
        let long = "ä".repeat(LOG_TAIL);
        assert!(tail(&long).len() <= LOG_TAIL + 40);
        assert_eq!(tail("START x\n\nREPORT y\n"), "");
    }
}
