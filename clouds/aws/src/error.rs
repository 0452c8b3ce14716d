//! What failures of a service mean: words for people, and the error of an operation.

use aws_smithy_runtime_api::{
    client::{orchestrator::HttpResponse, result::SdkError},
    http::Headers,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use lithops_core::error::{Error, ErrorKind, Retry};

/// The headers in which services of AWS say which request it was.
const REQUEST_HEADERS: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];

/// The code of a failure, as the service has it; without one, what the status or the kind of failure amounts to. Empty
/// when nothing is known.
pub fn code<E>(error: &SdkError<E, HttpResponse>) -> &str
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => match (service.err().code(), service.raw().status().as_u16()) {
            (Some(code), _) => code,
            (None, 401 | 403) => "AccessDenied",
            (None, 429) => "TooManyRequestsException",
            (None, _) => "",
        },
        // Nothing was sent: there was nothing to sign with.
        SdkError::ConstructionFailure(_) => "NoCredentials",
        SdkError::DispatchFailure(_) if describe(error).contains("credentials") => "NoCredentials",
        _ => "",
    }
}

/// The error of a request that has failed, by the codes that all services of AWS have in common. `what` completes
/// "cannot ..". Another code is a failure that may pass.
pub fn failed<E>(error: &SdkError<E, HttpResponse>, what: &str) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    of_code(code(error), format!("cannot {what}: {}", describe(error)))
}

/// The error with a message, by the code of the service that all services of AWS have in common. Another code is a failure
/// that may pass.
#[must_use]
pub fn of_code(code: &str, message: String) -> Error {
    let refuse = |kind, hint: &str| Error::new(kind, message.clone()).with_hint(hint);
    match code {
        // The SDK's part for it would bring two services more into each first build.
        "NoCredentials" | "CredentialsNotLoaded" if message.contains("enabled: sso") => refuse(
            ErrorKind::PermissionDenied,
            "a login of `aws sso login` is read through the command `aws`: put `credential_process = aws configure export-credentials --profile NAME --format process` into a profile of its own, and say AWS_PROFILE",
        ),
        "NoCredentials" | "CredentialsNotLoaded" => refuse(
            ErrorKind::PermissionDenied,
            "log in with `aws configure`, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them in section `aws`",
        ),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "AuthFailure"
        | "ExpiredToken" => {
            refuse(ErrorKind::PermissionDenied, "the credentials are wrong or have expired: log in again")
        }
        "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation" => refuse(
            ErrorKind::PermissionDenied,
            "`lithops doctor` prints the policy that the credentials need",
        ),
        "ResourceNotFoundException" => refuse(ErrorKind::NotFound, "is it in this region and account?"),
        "TooManyRequestsException" | "ThrottlingException" | "Throttling" | "RequestLimitExceeded" => {
            refuse(ErrorKind::RateLimited, "wait a little").with_retry(Retry::Later)
        }
        _ => {
            refuse(ErrorKind::Io, "is the address right, and the network there? `lithops doctor` looks at it")
                .with_retry(Retry::Later)
        }
    }
}

/// What is known of a failure, in one line.
pub fn describe<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let request = |headers: &Headers| {
        let id = REQUEST_HEADERS.into_iter().find_map(|header| headers.get(header));
        id.map_or_else(String::new, |id| format!(", request {id}"))
    };
    match error {
        SdkError::ServiceError(service) => {
            let (error, raw) = (service.err(), service.raw());
            let code = error.code().unwrap_or("no code");
            let message = error.message().unwrap_or("no message");
            format!("{message} ({code}, status {}{})", raw.status().as_u16(), request(raw.headers()))
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::ResponseError(response) => {
            let raw = response.raw();
            format!(
                "an answer that cannot be read (status {}{})",
                raw.status().as_u16(),
                request(raw.headers())
            )
        }
        other => chain(other),
    }
}

/// An error with its causes, without what the next cause says again.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        if !words.last().is_some_and(|last| last.contains(&said)) {
            words.push(said);
        }
        next = error.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    #[derive(Debug)]
    struct Refusal(ErrorMetadata);

    impl fmt::Display for Refusal {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a refusal")
        }
    }

    impl std::error::Error for Refusal {}

    impl ProvideErrorMetadata for Refusal {
        fn meta(&self) -> &ErrorMetadata {
            &self.0
        }
    }

    fn refused(status: u16, code: Option<&str>) -> SdkError<Refusal, HttpResponse> {
        let status = status.try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::empty());
        response.headers_mut().insert("x-amzn-requestid", "r-1");
        let mut metadata = ErrorMetadata::builder().message("no");
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        SdkError::service_error(Refusal(metadata.build()), response)
    }

    #[test]
    fn a_failure_is_an_error_by_its_code_or_status() {
        for (status, code, kind, later) in [
            (403, Some("AccessDeniedException"), ErrorKind::PermissionDenied, false),
            (403, Some("SignatureDoesNotMatch"), ErrorKind::PermissionDenied, false),
            (403, None, ErrorKind::PermissionDenied, false),
            (404, Some("ResourceNotFoundException"), ErrorKind::NotFound, false),
            (429, None, ErrorKind::RateLimited, true),
            (503, Some("RequestLimitExceeded"), ErrorKind::RateLimited, true),
            (500, Some("ServiceException"), ErrorKind::Io, true),
        ] {
            let error = failed(&refused(status, code), "list the things");
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.retry() == Retry::Later, later, "{error}");
        }
        let said = failed(&refused(403, Some("AccessDenied")), "list the things");
        assert_eq!(said.message(), "cannot list the things: no (AccessDenied, status 403, request r-1)");
        let unsent = SdkError::<Refusal, HttpResponse>::construction_failure("no credentials provider");
        assert!(failed(&unsent, "x").hint().is_some_and(|hint| hint.contains("aws configure")));
        let late = SdkError::<Refusal, HttpResponse>::timeout_error("x");
        assert_eq!(describe(&late), "no answer in time");
    }
}
