//! Reserved parameters: the library supplies their values. They are recognised by their trait, at any
//! position.

use std::marker::PhantomData;

use super::{CallContext, Scope, list::Nil};
use crate::{error::CallError, id::CallId, storage::StorageClient};

/// A parameter whose value the library supplies; it is not part of the input.
///
/// A reserved type never implements both `Serialize` and `DeserializeOwned`: this tells it from an argument.
pub trait Reserved: Sized + 'static {
    /// The list of types for which values must be given with `.shared(..)`, in front of `L`.
    type SharedIn<L>;

    /// Whether the parameter is the storage.
    const STORAGE: bool = false;

    /// Whether the parameter is an object of a data source.
    const OBJECT: bool = false;

    /// Makes the value for a call.
    ///
    /// # Errors
    /// When the value cannot be made, for example because the storage cannot be reached.
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

/// Tells whether a type is reserved and whether it is a `Result`: an inherent constant wins over that of a
/// trait.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>, Nil);

impl<T: Reserved> Probe<T> {
    /// The type is a reserved parameter.
    pub const RESERVED: bool = true;
    /// Whether the parameter is the storage.
    pub const STORAGE: bool = T::STORAGE;
    /// Whether the parameter is an object of a data source.
    pub const OBJECT: bool = T::OBJECT;
}

/// The constants of every type that is not reserved.
pub trait NotReserved {
    /// The type is not a reserved parameter.
    const RESERVED: bool = false;
    /// The type is not the storage.
    const STORAGE: bool = false;
    /// The type is not an object of a data source.
    const OBJECT: bool = false;
}

impl<T> NotReserved for Probe<T> {}

impl<T, E> Probe<Result<T, E>> {
    /// The type is a `Result`, also behind an alias.
    pub const RESULT: bool = true;
}
