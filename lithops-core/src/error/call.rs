//! [`CallError`]: the reason why one call of a user's function has no result.

use std::{error::Error as StdError, fmt};

use serde::{Deserialize, Serialize};

use crate::id::CallId;

/// The class of a call's failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The function returned `Err`.
    Failed,
    /// The function panicked.
    Panicked,
    /// The call ran longer than its timeout.
    TimedOut,
    /// The process that ran the call was killed for want of memory.
    OutOfMemory,
    /// The process that ran the call ended before the call did.
    Crashed {
        /// The signal that ended the process; `None` when it exited by itself.
        signal: Option<i32>,
        /// The exit code of the process; `None` when a signal ended it.
        exit_code: Option<i32>,
    },
    /// The worker that ran the call was lost, and the call may not be tried again, or no more often.
    WorkerLost,
    /// The call was cancelled.
    Cancelled,
    /// The argument or the result could not be encoded or decoded.
    Undecodable,
}

/// At most this many bytes of whole lines of a call's output are part of its error.
const LOG_TAIL: usize = 2048;

/// A failed call: kind, message, chain of causes, and the last output of the call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallError(Box<Facts>);

/// The content of a call's error. It is encoded by field name, so that fields can be added later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    kind: CallErrorKind,
    message: String,
    #[serde(default)]
    chain: Vec<String>,
    #[serde(default)]
    backtrace: Option<String>,
    #[serde(default)]
    log_tail: String,
    #[serde(default)]
    attempts: u32,
    #[serde(skip)]
    call: Option<(CallId, String)>,
    #[serde(skip)]
    input: Option<String>,
}

impl CallError {
    /// An error of `kind` with a message and nothing else.
    pub fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            message: message.into(),
            chain: Vec::new(),
            backtrace: None,
            log_tail: String::new(),
            attempts: 1,
            call: None,
            input: None,
        }))
    }

    /// The error as a report carries it. Encoding cannot fail, because the error is text and numbers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// Adds the chain of causes, outermost first, without the message itself.
    #[must_use]
    pub fn with_chain(mut self, chain: Vec<String>) -> Self {
        self.0.chain = chain;
        self
    }

    /// Adds the backtrace of a panic.
    #[must_use]
    pub fn with_backtrace(mut self, backtrace: String) -> Self {
        self.0.backtrace = Some(backtrace);
        self
    }

    /// Adds the last output of the call. Of a panic it is without the backtrace that is printed with
    /// `RUST_BACKTRACE`: the error has that itself.
    #[must_use]
    pub fn with_log_tail(mut self, tail: &str) -> Self {
        let is_kept = |line: &&str| self.0.backtrace.is_none() || !is_of_backtrace(line.trim_end());
        let lines: Vec<_> = tail.split_inclusive('\n').filter(is_kept).collect();
        let bytes = lines.iter().rev().scan(0, |bytes, line| {
            *bytes += line.len();
            Some(*bytes)
        });
        // At least the last line, even if it is longer.
        let kept = bytes.take_while(|bytes| *bytes <= LOG_TAIL).count().max(1).min(lines.len());
        self.0.log_tail = lines[lines.len() - kept..].concat();
        self
    }

    /// Adds how often the call was tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds the call and its function; `Display` then starts with both.
    #[must_use]
    pub fn with_call(mut self, call: CallId, function: impl Into<String>) -> Self {
        self.0.call = Some((call, function.into()));
        self
    }

    /// Adds what the call was given, in words; [`report`](Self::report) then says so.
    #[must_use]
    pub fn with_input(mut self, input: String) -> Self {
        self.0.input = Some(input);
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> &CallErrorKind {
        &self.0.kind
    }

    /// What happened, in one line: the text of the user's error, or the panic's message and place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The causes below the message, outermost first.
    #[must_use]
    pub fn chain(&self) -> &[String] {
        &self.0.chain
    }

    /// The backtrace of a panic; `None` for other failures.
    #[must_use]
    pub fn backtrace(&self) -> Option<&str> {
        self.0.backtrace.as_deref()
    }

    /// The last output of the call; empty when it is unknown.
    #[must_use]
    pub fn log_tail(&self) -> &str {
        &self.0.log_tail
    }

    /// How often the call was tried.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The call, if [`with_call`](Self::with_call) has added it.
    #[must_use]
    pub fn call_id(&self) -> Option<CallId> {
        self.0.call.as_ref().map(|(call, _)| *call)
    }

    /// What the call was given, where that says more than the call's number: such as the part of an object.
    #[must_use]
    pub fn input(&self) -> Option<&str> {
        self.0.input.as_deref()
    }

    /// All details of the failure, in several lines.
    #[must_use]
    pub fn report(&self) -> String {
        format!("  {self}{}", self.details())
    }

    /// What the report says below its first line, which is that of `Display`.
    pub(super) fn details(&self) -> String {
        let mut report = String::new();
        for cause in &self.0.chain {
            report.push_str(&format!("\n  caused by: {cause}"));
        }
        if let Some(input) = &self.0.input {
            report.push_str(&format!("\n  input: {input}"));
        }
        if self.0.attempts > 1 {
            report.push_str(&format!("\n  attempts: {}", self.0.attempts));
        }
        if !self.0.log_tail.is_empty() {
            report.push_str("\n  it had printed last:");
            self.0.log_tail.lines().for_each(|line| report.push_str(&format!("\n    | {line}")));
        }
        if let Some(backtrace) = &self.0.backtrace {
            report.push_str(&format!("\n  backtrace:\n{backtrace}"));
        }
        report
    }
}

/// Whether a printed line belongs to a backtrace in the form of the standard library.
fn is_of_backtrace(line: &str) -> bool {
    let line = line.trim_start();
    let after_number = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
    line == "stack backtrace:"
        || line.starts_with("at ") && line.contains(".rs:")
        || after_number.len() < line.len() && after_number.starts_with(": ")
        || line.starts_with("note: Some details are omitted")
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((call, function)) = &self.0.call {
            write!(f, "call {call} of `{function}` ")?;
        } else {
            f.write_str("the call ")?;
        }
        match &self.0.kind {
            CallErrorKind::Failed => write!(f, "failed: {}", self.0.message),
            CallErrorKind::Panicked => write!(f, "panicked: {}", self.0.message),
            CallErrorKind::TimedOut => write!(f, "timed out: {}", self.0.message),
            CallErrorKind::OutOfMemory => write!(f, "ran out of memory: {}", self.0.message),
            CallErrorKind::Crashed { .. } => write!(f, "crashed: {}", self.0.message),
            CallErrorKind::WorkerLost => write!(f, "was lost: {}", self.0.message),
            CallErrorKind::Cancelled => write!(f, "was cancelled: {}", self.0.message),
            CallErrorKind::Undecodable => write!(f, "could not be decoded: {}", self.0.message),
        }
    }
}

impl fmt::Debug for CallError {
    /// All details, as [`report`](CallError::report) has them: what `unwrap` and a `main` print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.report().trim_start())
    }
}

impl StdError for CallError {}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
