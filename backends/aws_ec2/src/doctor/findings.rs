//! Findings of the doctor.

use lithops_core::{
    compute::{Check, Severity},
    error::Error,
};

pub(super) fn fine(finding: String) -> Check {
    Check { finding, severity: Severity::Fine, remedy: None }
}

pub(super) fn problem(finding: String, severity: Severity, remedy: &str) -> Check {
    Check { finding, severity, remedy: Some(remedy.to_owned()) }
}

pub(super) fn bad(error: &Error) -> Check {
    Check {
        finding: error.message().to_owned(),
        severity: Severity::Error,
        remedy: error.hint().map(str::to_owned),
    }
}
