//! Encodes the result of a function: a value, or an error of nearly any type.

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

/// Says for every type that is no `Result` that it is none.
pub trait NotResult {
    /// The type is not a `Result`.
    const RESULT: bool = false;
}

impl<T> NotResult for Probe<T> {}

/// Splits the returned value of a function into a value and an error.
pub trait Return<const RESULT: bool> {
    /// The type of the value.
    type Value;
    /// The type of the error; `Infallible` when the function returns no `Result`.
    type Error;

    /// Returns the value or the error.
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

/// Appends the encoded value to `out`.
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

/// Turns an error of nearly any type into a [`CallError`]. Method resolution chooses the way: conversion into
/// a boxed error first, then `std::error::Error`, then `Display`.
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

/// The first choice: the error converts into `Box<dyn Error + Send + Sync>`, as `anyhow::Error` and `String`
/// do.
pub trait ViaBoxed {
    /// The error of the call.
    fn call_error(&self) -> CallError;
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> ViaBoxed for &&ErrorProbe<E> {
    fn call_error(&self) -> CallError {
        let error: Box<dyn StdError + Send + Sync> = self.take().into();
        from_error(&*error)
    }
}

/// The second choice: the error is a `std::error::Error` that is not `Send + Sync`.
pub trait ViaStdError {
    /// The error of the call.
    fn call_error(&self) -> CallError;
}

impl<E: StdError + 'static> ViaStdError for &ErrorProbe<E> {
    fn call_error(&self) -> CallError {
        from_error(&self.take())
    }
}

impl ErrorProbe<Box<dyn StdError>> {
    /// The error of the call.
    #[must_use]
    pub fn call_error(&self) -> CallError {
        from_error(&*self.take())
    }
}

/// The last choice: the error can be displayed. The trait is implemented for every type, so that the compiler
/// refuses other types with the message of `Failure`.
pub trait ViaDisplay<E> {
    /// The error of the call.
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

/// An error that is no `std::error::Error` and can be displayed.
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
