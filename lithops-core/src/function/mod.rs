//! Functions: which can be mapped, how their types are found, and how they run by name in another process.
//!
//! `#[lithops::function]` leaves a function untouched and submits an [`Entry`] for it. [`Function`] gives the
//! typed API its types from the function item itself. The client finds the entry by the item's `TypeId`; a
//! sub-worker, which is the same program, finds it by its name. A closure, or a function without the attribute,
//! is found by the [`Address`] of the [`Glue`] that the compiler makes for it.

mod address;
mod any_result;
mod arguments;
mod checks;
mod context;
mod entry;
mod glue;
mod input;
mod list;
mod outcome;
mod reserved;
mod run_fn;
mod shared;
mod signature;

pub use address::Address;
pub use arguments::{Arguments, Take};
pub use checks::{check_parameter, check_return};
pub use context::{CallContext, JobScope, Scope};
pub use entry::{Entry, Location, Registered, entry_of, find, type_id_of};
pub(crate) use glue::Captures;
pub use glue::Glue;
pub use input::{Argument, InputList};
pub use list::{Cons, Nil};
pub use outcome::{ErrorProbe, NotResult, Return, ViaBoxed, ViaDisplay, ViaStdError, encode};
pub use reserved::{NotReserved, Probe, Reserved};
pub use run_fn::{CallFuture, RunFn};
pub use shared::{
    NoShared, Shared, SharedGiven, SharedList, SharedMissing, SharedMissing2, SharedMissing3, SharedReady,
    SharedValues, TakesShared,
};
pub use signature::{Function, Inp, IsAsync, IsSync, Param, Res, RetOf};
