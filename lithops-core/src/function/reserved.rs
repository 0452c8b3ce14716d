//! Reserved parameters: filled in by the system, recognised by trait and in any position.

use std::marker::PhantomData;

use super::{CallContext, Scope, list::Nil};
use crate::{error::CallError, id::CallId, storage::StorageClient};

/// A parameter that is filled in by the system and is not part of the input.
///
/// A reserved type never implements both `Serialize` and `DeserializeOwned`, which is what tells it from an
/// argument.
pub trait Reserved: Sized + 'static {
    /// The list of values that must be given with `.shared(..)`, in front of `L`.
    type SharedIn<L>;

    /// Whether it is the storage.
    const STORAGE: bool = false;

    /// Whether it is an object of a data source.
    const OBJECT: bool = false;

    /// The value for a call.
    ///
    /// # Errors
    /// When it cannot be made, as for a storage that cannot be reached.
    fn take(scope: &Scope<'_>) -> Result<Self, CallError>;
}

impl Reserved for CallContext {
    type SharedIn<L> = L;

    fn take(scope: &Scope<'_>) -> Result<Self, CallError> {
        Ok(Self::of(scope))
    }
}

impl Reserved for CallId {
    type SharedIn<L> = L;

    fn take(scope: &Scope<'_>) -> Result<Self, CallError> {
        Ok(scope.call)
    }
}

impl Reserved for StorageClient {
    type SharedIn<L> = L;

    const STORAGE: bool = true;

    fn take(scope: &Scope<'_>) -> Result<Self, CallError> {
        scope.job.storage()
    }
}

/// Asks a type whether it is reserved and whether it is a `Result`: an inherent constant wins over a trait's.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>, Nil);

impl<T: Reserved> Probe<T> {
    /// It is a reserved parameter.
    pub const RESERVED: bool = true;
    /// Whether it is the storage.
    pub const STORAGE: bool = T::STORAGE;
    /// Whether it is an object of a data source.
    pub const OBJECT: bool = T::OBJECT;
}

/// The answer for every other type.
pub trait NotReserved {
    /// It is not a reserved parameter.
    const RESERVED: bool = false;
    /// It is not the storage.
    const STORAGE: bool = false;
    /// It is not an object of a data source.
    const OBJECT: bool = false;
}

impl<T> NotReserved for Probe<T> {}

impl<T, E> Probe<Result<T, E>> {
    /// It is a `Result`, under whatever name.
    pub const RESULT: bool = true;
}
