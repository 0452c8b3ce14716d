//! The bounds of parameters and results. The attribute's code checks them where the compiler can point at the
//! type.

use super::{Argument, Reserved};

/// A type that a parameter may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a lithops function",
    label = "neither an argument nor a reserved parameter",
    note = "arguments are owned and implement `serde::Serialize` and `serde::Deserialize`; reserved parameters are \
            `CallId`, `CallContext`, `DataObject`, `StorageClient` and `Shared<T>`"
)]
pub trait Parameter<const RESERVED: bool> {}

impl<T: Reserved> Parameter<true> for T {}
impl<T: Argument> Parameter<false> for T {}

/// A type that a function may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a lithops function",
    label = "not a result that can travel",
    note = "results are owned and implement `serde::Serialize` and `serde::Deserialize`, or are a `Result` of such a value"
)]
pub trait Returned<const RESULT: bool> {}

impl<T: Argument> Returned<false> for T {}
impl<T: Argument, E> Returned<true> for Result<T, E> {}

/// Compiles only if a parameter may have this type.
pub fn check_parameter<T: Parameter<RESERVED>, const RESERVED: bool>() {}

/// Compiles only if a function may return this type.
pub fn check_return<T: Returned<RESULT>, const RESULT: bool>() {}
