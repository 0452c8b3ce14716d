//! [`Error`]: the error of every operation, with kind, context and source.

use std::{error::Error as StdError, fmt, sync::Arc};

use super::{CallError, ErrorKind, Retry};
use crate::id::InvalidJobId;

/// The result of an operation of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn StdError + Send + Sync>;

/// A failed operation: what happened, to what, and what to do now.
///
/// `Display` is one line; `Debug` is a report of several lines with the context and the chain of sources.
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    hint: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind`; the message is a lower-case fragment that names the thing.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Never,
            message: message.into(),
            hint: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// Adds advice what to do now; `Display` ends with it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a named fact, such as the operation or the key it was about.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((name, value.into()));
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Sets whether a retry may help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// A copy of the error for another reader.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a retry may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What happened, without hint and context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Advice what to do now; `None` when there is none.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The named facts added on the way up.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The failed call, when the kind is [`ErrorKind::CallFailed`].
    #[must_use]
    pub fn call_error(&self) -> Option<&CallError> {
        self.0.source.as_ref()?.downcast_ref()
    }

    /// The operating system's error that this one was made of; `None` where there was none.
    #[must_use]
    pub fn io_error(&self) -> Option<&std::io::Error> {
        self.0.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, ": {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.kind)?;
        if let Some(hint) = &self.0.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        for (name, value) in &self.0.context {
            write!(f, "\n  {name}: {value}")?;
        }
        if let Some(call) = self.call_error() {
            let details = if call.to_string() == self.0.message { call.details() } else { call.report() };
            let details = details.trim_start_matches('\n');
            return if details.is_empty() { Ok(()) } else { write!(f, "\n{details}") };
        }
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, "\n  caused by: {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))?;
        // Programs print an error with all its sources. A source whose text is already the message, or its end, would
        // be printed twice.
        if self.0.message.ends_with(&source.to_string()) { source.source() } else { Some(source) }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            std::io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}

impl From<InvalidJobId> for Error {
    fn from(error: InvalidJobId) -> Self {
        Self::new(ErrorKind::InvalidInput, error.to_string())
            .with_hint("job ids look like 0190f5c2-7b1c-7a54-9d3e-2f60c1d8a9b7")
            .with_source(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::new(ErrorKind::CallFailed, error.to_string()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_and_ends_with_the_hint() {
        let error = Error::new(ErrorKind::NotFound, "no backend `x`")
            .with_hint("did you mean `y`?")
            .with_context("key", "backend");
        assert_eq!(error.to_string(), "no backend `x`: did you mean `y`?");
    }

    #[test]
    fn debug_reports_kind_context_and_sources() {
        let source = std::io::Error::other("disk on fire");
        let error =
            Error::new(ErrorKind::Io, "cannot read `f`").with_context("file", "f").with_source(source);
        assert_eq!(format!("{error:?}"), "cannot read `f` (i/o error)\n  file: f\n  caused by: disk on fire");
    }

    #[test]
    fn nothing_is_said_twice() {
        let call = CallError::new(super::super::CallErrorKind::Failed, "no row").with_attempts(3);
        let error = Error::from(call);
        assert_eq!(format!("{error:?}"), "the call failed: no row (call failed)\n  attempts: 3");
        assert!(error.source().is_none() && error.call_error().is_some());
        let error = Error::from(std::io::Error::other("disk on fire"));
        assert_eq!(format!("{error:?}"), "disk on fire (i/o error)");
        let source = std::io::Error::other("disk on fire");
        let error = Error::new(ErrorKind::Io, format!("cannot read `f`, {source}")).with_source(source);
        assert_eq!(format!("{error:?}"), "cannot read `f`, disk on fire (i/o error)");
    }
}
