//! [`Invocation`]: what an environment is to do, and what comes of it.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::{counts::Ledger, shared::Permit};

/// What an environment is to do.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) payload: Bytes,
    pub(crate) mode: Mode,
    pub(crate) permit: Permit,
    pub(crate) done: oneshot::Sender<Completion>,
}

/// How the response is wanted.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// At the end.
    Whole,
    /// As it comes.
    Streamed(mpsc::Sender<Bytes>),
}

/// What has come of an invocation.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) outcome: Outcome,
    /// The last 4 KiB of the log.
    pub(crate) log: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Response(Bytes),
    /// All of the response has gone where it was wanted.
    Streamed,
    Failed(Failure),
}

/// How a function has failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The response, if it is wanted at the end.
    pub(crate) body: Bytes,
    /// What streams end with.
    pub(crate) code: String,
    pub(crate) details: String,
}

impl Invocation {
    /// Ends an invocation. The caller that waits for it finds room for the next one.
    pub(crate) fn complete(self, ledger: &Ledger, completion: Completion) {
        if matches!(completion.outcome, Outcome::Failed(_)) {
            ledger.note(|counts| counts.function_errors += 1);
        }
        drop(self.permit);
        // The caller may have gone away.
        let _ = self.done.send(completion);
    }
}

impl Failure {
    /// What the service says of a function.
    pub(crate) fn of_service(kind: &str, message: String) -> Self {
        let body = json!({ "errorType": kind, "errorMessage": message });
        Self { body: body.to_string().into(), code: kind.to_owned(), details: message }
    }

    /// What a function says of itself.
    pub(crate) fn of_function(body: Bytes) -> Self {
        let details = String::from_utf8_lossy(&body).into_owned();
        Self { body, code: "Unhandled".to_owned(), details }
    }

    /// What a function says of itself after a part of its response.
    pub(crate) fn of_stream(kind: &str, body: Vec<u8>) -> Self {
        let details = String::from_utf8_lossy(&body).into_owned();
        Self { body: body.into(), code: kind.to_owned(), details }
    }
}
