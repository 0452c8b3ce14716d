//! [`ServiceError`]: why a service has not done what it was asked for.

use lithops_core::error::Error;
use serde::Deserialize;

use crate::error::of_code;

/// The failure of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// The code of the service, such as `InvalidSubnetID.NotFound`. `NoCredentials` and `NoAnswer` are our own.
    pub code: String,
    /// The words of the service.
    pub message: String,
    /// The status of the answer; 0 where there was none.
    pub status: u16,
    /// The id of the request, which the support of AWS asks for.
    pub request: String,
}

/// The code of a request that had no answer.
const NO_ANSWER: &str = "NoAnswer";
/// Codes of answers that say to ask again later.
const THROTTLED: &[&str] =
    &["RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"];

/// `<Response><Errors><Error>` of EC2, `<ErrorResponse><Error>` of the other services.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Document {
    errors: Errors,
    error: Said,
    #[serde(alias = "RequestID")]
    request_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Errors {
    error: Vec<Said>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Said {
    code: String,
    message: String,
}

impl ServiceError {
    /// What an answer with an error says.
    pub(super) fn read(status: u16, body: &str) -> Self {
        let document: Document = quick_xml::de::from_str(body).unwrap_or_default();
        let said = document.errors.error.into_iter().next().unwrap_or(document.error);
        let (code, message) = match (said.code.is_empty(), status) {
            (false, _) => (said.code, said.message),
            (true, 401 | 403) => ("AccessDenied".to_owned(), beginning(body)),
            (true, 429 | 503) => ("RequestLimitExceeded".to_owned(), beginning(body)),
            (true, _) => (String::new(), beginning(body)),
        };
        Self { code, message, status, request: document.request_id }
    }

    /// A failure that is part of an answer, such as that of one item of many.
    #[must_use]
    pub fn said(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), status: 400, request: String::new() }
    }

    /// No answer, or one that cannot be read.
    pub(super) fn unanswered(message: String) -> Self {
        Self { code: NO_ANSWER.into(), message, status: 0, request: String::new() }
    }

    /// There is nothing to sign with.
    pub(super) fn unsigned(message: String) -> Self {
        Self { code: "NoCredentials".into(), message, status: 0, request: String::new() }
    }

    /// Whether the service wants to be asked less often.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        THROTTLED.contains(&self.code.as_str()) || self.status == 429 || self.status == 503
    }

    /// Whether the same request may succeed in a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.is_throttled() || self.status >= 500 || self.code == NO_ANSWER
    }

    /// The error, by the codes that all services have in common; `what` completes "cannot ..".
    #[must_use]
    pub fn into_error(self, what: &str) -> Error {
        let message = format!("cannot {what}: {}", self.words());
        if self.is_throttled() {
            of_code("RequestLimitExceeded", message)
        } else {
            of_code(&self.code, message)
        }
    }

    /// What is known of the failure, in one line.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { code, message, status, request } = self;
        if *status == 0 {
            return message.clone();
        }
        let code = if code.is_empty() { "no code" } else { code };
        let request = if request.is_empty() { String::new() } else { format!(", request {request}") };
        format!("{message} ({code}, status {status}{request})")
    }
}

/// The beginning of an answer in another form, such as that of a proxy.
fn beginning(body: &str) -> String {
    let words: String = body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
    if words.is_empty() { "no words".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use lithops_core::error::{ErrorKind, Retry};

    use super::*;

    const OF_EC2: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>InvalidSubnetID.NotFound</Code><Message>The subnet ID 'x' does not exist</Message></Error></Errors><RequestID>r-1</RequestID></Response>";
    const OF_STS: &str = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error><RequestId>r-2</RequestId></ErrorResponse>";

    #[test]
    fn an_answer_says_what_is_wrong() {
        let error = ServiceError::read(400, OF_EC2);
        assert_eq!((error.code.as_str(), error.request.as_str()), ("InvalidSubnetID.NotFound", "r-1"));
        assert_eq!(
            error.words(),
            "The subnet ID 'x' does not exist (InvalidSubnetID.NotFound, status 400, request r-1)"
        );
        let error = ServiceError::read(403, OF_STS).into_error("ask");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.message().contains("no (AccessDenied, status 403, request r-2)"), "{error}");
        for (status, body) in [
            (503, "<html>busy</html>"),
            (429, ""),
            (400, &OF_EC2.replace("InvalidSubnetID.NotFound", "RequestLimitExceeded")),
        ] {
            let error = ServiceError::read(status, body);
            assert!(error.is_throttled() && error.may_pass(), "{error:?}");
            let error = error.into_error("ask");
            assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Later), "{error}");
        }
        assert!(!ServiceError::read(400, OF_EC2).may_pass());
        assert!(ServiceError::read(500, "").may_pass() && ServiceError::unanswered("x".into()).may_pass());
    }
}
