//! What failures of the API server mean.

use std::time::Duration;

use lithops_core::error::{Error, ErrorKind, Retry};

/// The error of a request; `what` says what could not be done.
#[must_use]
pub fn of(error: &kube::Error, what: &str) -> Error {
    let kube::Error::Api(status) = error else { return of_connection(error, what) };
    let problem = format!("cannot {what}: {}", status.message);
    let refused = |kind, hint: &str| Error::new(kind, &*problem).with_hint(hint.to_owned());
    match (status.code, status.reason.as_str()) {
        (401, _) => refused(
            ErrorKind::PermissionDenied,
            "the cluster does not know these credentials: log in again, or look at the user in the kubeconfig",
        ),
        (403, _) if is_quota(&status.message) => {
            Error::new(ErrorKind::RateLimited, problem).with_retry(Retry::Later)
        }
        (403, _) => refused(
            ErrorKind::PermissionDenied,
            "`lithops doctor` says which rights are missing, and prints the Role that is enough",
        ),
        // What was deleted meanwhile is made again.
        (404, _) if !status.message.contains("namespaces") => {
            Error::new(ErrorKind::NotFound, problem).with_retry(Retry::Later)
        }
        (404, _) => refused(ErrorKind::NotFound, "make the namespace, or name another one with `namespace`"),
        (409, _) => refused(ErrorKind::AlreadyExists, "another client has made it"),
        (400 | 422, _) => {
            refused(ErrorKind::ConfigInvalid, "look at the section of the backend in the configuration")
        }
        (429, _) => Error::new(ErrorKind::RateLimited, problem).with_retry(Retry::Later),
        (code, _) if code >= 500 => Error::new(ErrorKind::Io, problem).with_retry(Retry::Later),
        _ => Error::new(ErrorKind::Unexpected, problem),
    }
}

fn of_connection(error: &kube::Error, what: &str) -> Error {
    let problem = format!("cannot {what}: {}", words(error));
    match error {
        kube::Error::Auth(_) => Error::new(ErrorKind::PermissionDenied, problem)
            .with_hint("look at the user in the kubeconfig: its login command must work in a shell"),
        _ => Error::new(ErrorKind::Io, problem)
            .with_hint("does the cluster of the kubeconfig run, and can it be reached from here?")
            .with_retry(Retry::Later),
    }
}

/// An error with its causes, each of which is said once.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !words.contains(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        cause = next.source();
    }
    words
}

/// Whether the message says that a quota is used up, which may pass.
#[must_use]
pub fn is_quota(message: &str) -> bool {
    message.contains("exceeded quota")
}

/// How long the server asks to wait.
#[must_use]
pub fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn of_status(code: u16, message: &str) -> Error {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        of(&kube::Error::Api(Box::new(status)), "create the Job `x`")
    }

    #[test]
    fn each_answer_says_what_to_do() {
        for (code, message, kind, hint) in [
            (401, "Unauthorized", ErrorKind::PermissionDenied, "log in again"),
            (
                403,
                "jobs.batch is forbidden: User \"u\" cannot create",
                ErrorKind::PermissionDenied,
                "prints the Role",
            ),
            (404, "namespaces \"x\" not found", ErrorKind::NotFound, "make the namespace"),
            (422, "Job.batch \"x\" is invalid", ErrorKind::ConfigInvalid, "section of the backend"),
        ] {
            let error = of_status(code, message);
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.hint().is_some_and(|words| words.contains(hint)), "{error:?}");
        }
        for (code, message) in
            [(429, "too many requests"), (500, "etcdserver: leader changed"), (403, "exceeded quota: q")]
        {
            assert_eq!(of_status(code, message).retry(), Retry::Later, "{code}");
        }
    }
}
