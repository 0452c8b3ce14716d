//! [`Shared`]: data that is sent once per job and decoded once per sub-worker.

use std::{any::Any, marker::PhantomData, ops::Deref, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Reserved, Scope,
    signature::{Cons, Nil},
};
use crate::{
    bytes::Bytes,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
};

/// Data that all calls of a job read: a reserved parameter, given once with `.shared(value)`.
#[derive(Debug, Clone)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Shared data to call the function with directly.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Any + Send + Sync> Reserved for Shared<T> {
    type SharedIn<L> = Cons<T, L>;

    fn take(scope: &Scope<'_>) -> std::result::Result<Self, CallError> {
        let index = scope.shared_taken.get();
        scope.shared_taken.set(index + 1);
        let decode = |bytes: &Bytes| {
            rmp_serde::from_slice(bytes).map_err(|error| {
                CallError::new(CallErrorKind::Undecodable, format!("the shared value does not decode: {error}"))
            })
        };
        scope.job.shared(index, decode).map(Self)
    }
}

/// The function has no `Shared<T>` parameter.
#[derive(Debug, Clone, Copy)]
pub struct NoShared;

/// The function has a `Shared<T>` parameter, and `.shared(value)` has not been called yet.
#[derive(Debug)]
pub struct SharedMissing<T>(PhantomData<T>);

/// `.shared(value)` was called.
#[derive(Debug, Clone, Copy)]
pub struct SharedGiven;

/// A job that has all its shared data.
#[diagnostic::on_unimplemented(
    message = "the function has a `Shared` parameter and no value for it",
    label = "call `.shared(value)` first"
)]
pub trait SharedReady {}

impl SharedReady for NoShared {}
impl SharedReady for SharedGiven {}

/// The list of a function's `Shared<T>` parameters.
pub trait SharedList {
    /// What is still to be given: [`NoShared`] or [`SharedMissing`].
    type State: Default;
}

impl Default for NoShared {
    fn default() -> Self {
        Self
    }
}

impl<T> Default for SharedMissing<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl SharedList for Nil {
    type State = NoShared;
}

impl<A> SharedList for Cons<A, Nil> {
    type State = SharedMissing<A>;
}

impl<A, B> SharedList for Cons<A, Cons<B, Nil>> {
    type State = SharedMissing<(A, B)>;
}

impl<A, B, C> SharedList for Cons<A, Cons<B, Cons<C, Nil>>> {
    type State = SharedMissing<(A, B, C)>;
}

/// The encoded values of `.shared(value)`, or of a tuple for several parameters.
#[derive(Debug, Default)]
pub struct SharedValues(pub(crate) Vec<Bytes>);

impl SharedValues {
    /// Encodes the value of a single `Shared<T>` parameter.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn one<A: Serialize>(value: &A) -> Result<Self> {
        Ok(Self(vec![encode(value)?]))
    }

    /// Adds the value of a further parameter.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn and<A: Serialize>(mut self, value: &A) -> Result<Self> {
        self.0.push(encode(value)?);
        Ok(self)
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    rmp_serde::to_vec(value).map(Bytes::from).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("the shared value cannot be encoded: {error}")).with_source(error)
    })
}
