//! [`Glue`]: how a function without the attribute is called, found by its address in the program.

use std::{any::type_name, marker::PhantomData, mem::needs_drop, ptr::NonNull};

use super::RunFn;
use crate::error::CallError;

/// What stands at the address of an entry, so that another address is not taken for one.
pub(super) const MAGIC: [u8; 16] = *b"lithops-function";

/// The call of a function that has no attribute. The compiler makes one for each function that is given to
/// an executor; it lies in a part of the program that cannot be written.
#[repr(C)]
#[derive(Debug)]
pub struct Glue {
    pub(super) magic: [u8; 16],
    /// The name of the function's type.
    pub(super) name: fn() -> &'static str,
    /// How the function is run.
    pub(super) run: fn() -> RunFn,
    /// Why what the function returns cannot be sent; `None` if it can.
    pub(super) problem: fn() -> Option<CallError>,
    pub(super) uses_storage: bool,
    pub(super) takes_object: bool,
}

impl Glue {
    pub(super) const fn new<F>(
        run: fn() -> RunFn,
        problem: fn() -> Option<CallError>,
        uses_storage: bool,
        takes_object: bool,
    ) -> Self {
        Self { magic: MAGIC, name: type_name::<F>, run, problem, uses_storage, takes_object }
    }
}

/// A check when the program is compiled. It is used in the methods of an executor too, so that the compiler's
/// error points at their call.
pub(crate) struct Captures<F>(PhantomData<F>);

impl<F> Captures<F> {
    /// Compiles only if the function captures nothing: only then can its value be made in another process.
    pub(crate) const NOTHING: () = assert!(
        size_of::<F>() == 0 && !needs_drop::<F>(),
        "this function captures variables, or is a function pointer, and cannot run in another process: hand the values \
         in as arguments of the calls, or once per job with a `Shared<T>` parameter and `.shared(value)`"
    );
}

/// The value of a function's type, which has no size: the value is the same in every process.
#[expect(unsafe_code, reason = "a value without size is made from its type")]
pub(super) fn value_of<F>() -> F {
    let () = Captures::<F>::NOTHING;
    // SAFETY: The type has no size, so that there is nothing to read. The client holds a value of it, and
    // the type has no destructor that could count its values.
    unsafe { NonNull::<F>::dangling().read() }
}
