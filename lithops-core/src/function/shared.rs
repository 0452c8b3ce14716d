//! [`Shared`]: data that are sent once per job and decoded once per sub-worker.

use std::{any::Any, marker::PhantomData, ops::Deref, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Reserved, Scope,
    list::{Cons, Nil},
};
use crate::{
    bytes::Bytes,
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    protocol::MAX_VALUE,
    value,
};

/// Data that all calls of a job read: a reserved parameter, whose value is given once with `.shared(value)`.
#[derive(Debug, Clone)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Wraps a value, to call the function directly.
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
            value::decode(bytes).map_err(|error| {
                CallError::new(
                    CallErrorKind::Undecodable,
                    format!("the shared value does not decode: {error}"),
                )
            })
        };
        scope.job.shared(index, decode).map(Self)
    }
}

/// State of a job whose function has no `Shared<T>` parameter.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoShared;

/// State of a job whose function has a `Shared<T>` parameter, before `.shared(value)`.
#[derive(Debug)]
pub struct SharedMissing<A>(PhantomData<A>);

/// State of a job whose function has two `Shared<T>` parameters, before `.shared((a, b))`.
#[derive(Debug)]
pub struct SharedMissing2<A, B>(PhantomData<(A, B)>);

/// State of a job whose function has three `Shared<T>` parameters, before `.shared((a, b, c))`.
#[derive(Debug)]
pub struct SharedMissing3<A, B, C>(PhantomData<(A, B, C)>);

/// State of a job after `.shared(value)`.
#[derive(Debug, Clone, Copy)]
pub struct SharedGiven;

/// Implemented by the states in which a job has all its shared data.
#[diagnostic::on_unimplemented(
    message = "the function has a `Shared` parameter, and nothing says its value",
    label = "write `.shared(value)` before this",
    note = "the value is sent to each worker once per job; several are given as a tuple"
)]
pub trait SharedReady {}

impl SharedReady for NoShared {}
impl SharedReady for SharedGiven {}

/// Implemented by the states in which a job lacks its shared data.
#[diagnostic::on_unimplemented(
    message = "the function has no `Shared` parameter",
    label = "there is nothing to share"
)]
pub trait TakesShared {
    /// What `.shared(..)` takes: the value, or a tuple for several parameters.
    type Given;

    /// Encodes the shared data, one value per parameter.
    ///
    /// # Errors
    /// When a value cannot be encoded, or is too long for a message.
    fn encode(given: &Self::Given) -> Result<SharedValues>;
}

impl<A: Serialize> TakesShared for SharedMissing<A> {
    type Given = A;

    fn encode(given: &A) -> Result<SharedValues> {
        Ok(SharedValues(vec![encode(given)?]))
    }
}

impl<A: Serialize, B: Serialize> TakesShared for SharedMissing2<A, B> {
    type Given = (A, B);

    fn encode((a, b): &(A, B)) -> Result<SharedValues> {
        Ok(SharedValues(vec![encode(a)?, encode(b)?]))
    }
}

impl<A: Serialize, B: Serialize, C: Serialize> TakesShared for SharedMissing3<A, B, C> {
    type Given = (A, B, C);

    fn encode((a, b, c): &(A, B, C)) -> Result<SharedValues> {
        Ok(SharedValues(vec![encode(a)?, encode(b)?, encode(c)?]))
    }
}

/// The list of a function's `Shared<T>` parameters.
pub trait SharedList {
    /// The state of a new job with these parameters.
    type State;
}

impl SharedList for Nil {
    type State = NoShared;
}

impl<A> SharedList for Cons<A, Nil> {
    type State = SharedMissing<A>;
}

impl<A, B> SharedList for Cons<A, Cons<B, Nil>> {
    type State = SharedMissing2<A, B>;
}

impl<A, B, C> SharedList for Cons<A, Cons<B, Cons<C, Nil>>> {
    type State = SharedMissing3<A, B, C>;
}

/// The encoded values of `.shared(..)`, one per parameter.
#[derive(Debug, Default)]
pub struct SharedValues(pub(crate) Vec<Bytes>);

fn encode<T: Serialize>(shared: &T) -> Result<Bytes> {
    let encoded = value::encode(shared).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("the shared value cannot be encoded: {error}"))
            .with_source(error)
    })?;
    if encoded.len() > MAX_VALUE {
        let problem = format!("the shared value has {} bytes, and the limit is {MAX_VALUE}", encoded.len());
        return Err(Error::new(ErrorKind::PayloadTooLarge, problem)
            .with_hint("put it into the storage and pass its name"));
    }
    Ok(Bytes::from(encoded))
}
