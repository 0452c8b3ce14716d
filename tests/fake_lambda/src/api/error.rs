//! [`ApiError`]: how requests are refused.

use hyper::{Response, StatusCode, header::HeaderValue};
use serde_json::json;

use super::answer::{Body, json};

/// An exception of the service, as its model names them.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    exception: &'static str,
    message: String,
    reason: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn not_found(arn: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundException", format!("Function not found: {arn}"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "ResourceConflictException", message)
    }

    pub(crate) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)
    }

    pub(crate) fn invalid_content(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestContentException", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", message)
    }

    pub(crate) fn throttled() -> Self {
        let reason = Some("ConcurrentInvocationLimitExceeded");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.");
        Self { reason, ..error }
    }

    pub(crate) fn unknown_operation() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", "This fake knows no such operation.")
    }

    /// Something that is wrong with the fake or with the machine.
    pub(crate) fn service(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceException", message)
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let whose = if self.status.is_server_error() { "Service" } else { "User" };
        // Which of the two names the message has depends on the exception; SDKs take either.
        let mut body = json!({ "Message": self.message, "message": self.message, "Type": whose });
        if let Some(reason) = self.reason {
            body["Reason"] = reason.into();
        }
        let mut answer = json(self.status, &body);
        answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.exception));
        answer
    }

    fn new(status: StatusCode, exception: &'static str, message: impl Into<String>) -> Self {
        Self { status, exception, message: message.into(), reason: None }
    }
}
