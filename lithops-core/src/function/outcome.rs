//! Encoding what a function returned, a value or an error of nearly any type.

use std::{
    cell::Cell,
    convert::Infallible,
    error::Error as StdError,
    fmt::{self, Display},
};

use serde::Serialize;

use super::Probe;
use crate::{
    error::{CallError, CallErrorKind},
    value,
};

/// Whether a type is a `Result`: the answer for every other type.
pub trait NotResult {
    /// It is not a `Result`.
    const RESULT: bool = false;
}

impl<T> NotResult for Probe<T> {}

/// Splits what a function returned into a value and an error, where it can return one.
pub trait Return<const RESULT: bool> {
    /// The value.
    type Value;
    /// The error.
    type Error;

    /// Splits it.
    ///
    /// # Errors
    /// The function's own error.
    fn split(self) -> Result<Self::Value, Self::Error>;
}

impl<T> Return<false> for T {
    type Value = T;
    type Error = Infallible;

    fn split(self) -> Result<T, Infallible> {
        Ok(self)
    }
}

impl<T, E> Return<true> for Result<T, E> {
    type Value = T;
    type Error = E;

    fn split(self) -> Result<T, E> {
        self
    }
}

/// Appends the encoded value.
///
/// # Errors
/// When the value cannot be encoded.
pub fn encode<T: Serialize>(result: &T, out: &mut Vec<u8>) -> Result<(), CallError> {
    value::encode_into(result, out).map_err(|error| {
        CallError::new(
            CallErrorKind::Undecodable,
            format!("the result of type `{}` cannot be encoded: {error}", std::any::type_name::<T>()),
        )
    })
}

/// Turns an error of nearly any type into a [`CallError`], choosing by method resolution:
/// what converts into a boxed error, then any `std::error::Error`, then anything that can be displayed.
pub struct ErrorProbe<E>(Cell<Option<E>>);

impl<E> fmt::Debug for ErrorProbe<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorProbe")
    }
}

impl<E> ErrorProbe<E> {
    /// A probe of `error`.
    pub fn new(error: E) -> Self {
        Self(Cell::new(Some(error)))
    }

    fn take(&self) -> E {
        self.0.take().expect("a probe is asked once")
    }
}

/// First choice: the error converts into `Box<dyn Error + Send + Sync>`, `anyhow::Error` and `String`
/// included.
pub trait ViaBoxed {
    /// The failed call.
    fn call_error(&self) -> CallError;
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> ViaBoxed for &&ErrorProbe<E> {
    fn call_error(&self) -> CallError {
        let error: Box<dyn StdError + Send + Sync> = self.take().into();
        from_error(&*error)
    }
}

/// Second choice: a `std::error::Error` that is not `Send + Sync`.
pub trait ViaStdError {
    /// The failed call.
    fn call_error(&self) -> CallError;
}

impl<E: StdError + 'static> ViaStdError for &ErrorProbe<E> {
    fn call_error(&self) -> CallError {
        from_error(&self.take())
    }
}

impl ErrorProbe<Box<dyn StdError>> {
    /// The failed call.
    #[must_use]
    pub fn call_error(&self) -> CallError {
        from_error(&*self.take())
    }
}

/// Last choice: anything that can be displayed. It applies to every type, so that what can not be displayed
/// is refused in words of this system.
pub trait ViaDisplay<E> {
    /// The failed call.
    fn call_error(&self) -> CallError
    where
        E: Failure;
}

impl<E> ViaDisplay<E> for ErrorProbe<E> {
    fn call_error(&self) -> CallError
    where
        E: Failure,
    {
        CallError::new(CallErrorKind::Failed, self.take().to_string())
    }
}

/// What can be said of an error that is no `std::error::Error`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a lithops function",
    label = "the error has no words",
    note = "implement `std::error::Error` for it, or `Display`; `String` and `Box<dyn Error + Send + Sync>` do as well"
)]
pub trait Failure: Display {}

impl<E: Display> Failure for E {}

fn from_error(error: &(dyn StdError + 'static)) -> CallError {
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    CallError::new(CallErrorKind::Failed, error.to_string()).with_chain(chain)
}
