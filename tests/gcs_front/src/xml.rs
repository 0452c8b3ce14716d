//! Answers in XML.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};

use crate::server::Refused;

/// An answer with a document.
pub(crate) fn answer(status: StatusCode, document: String) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header("content-type", "application/xml; charset=UTF-8");
    let document = format!("<?xml version='1.0' encoding='UTF-8'?>{document}");
    answer.body(Full::new(document.into())).expect("its parts are valid")
}

/// An answer with headers alone.
pub(crate) fn empty(status: StatusCode, headers: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::default()).expect("its parts are valid")
}

/// An error as Cloud Storage writes it.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    let document =
        format!("<Error><Code>{}</Code><Message>{}</Message></Error>", escape(code), escape(message));
    answer(status, document)
}

impl Refused {
    /// The error of the JSON API as the XML API has it.
    pub(crate) async fn answer(self, has_bucket: impl Future<Output = bool>) -> Response<Full<Bytes>> {
        let Self(status, message) = self;
        match status {
            StatusCode::NOT_FOUND if !has_bucket.await => {
                error(status, "NoSuchBucket", "The specified bucket does not exist.")
            }
            StatusCode::NOT_FOUND => error(status, "NoSuchKey", "The specified key does not exist."),
            StatusCode::PRECONDITION_FAILED => error(
                status,
                "PreconditionFailed",
                "At least one of the pre-conditions you specified did not hold.",
            ),
            _ => error(status, "InternalError", &message),
        }
    }
}

pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            control if control.is_control() => escaped.push_str(&format!("&#{};", u32::from(control))),
            other => escaped.push(other),
        }
    }
    escaped
}
