//! [`Argument`] and [`InputList`]: the input of a call, one argument or a tuple.

use serde::{Serialize, de::DeserializeOwned};

use super::list::{Cons, Nil};

/// A value that can be sent to a call, and returned by one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to a call",
    label = "not an argument or a result of a lithops function",
    note = "arguments and results are owned and implement `serde::Serialize` and `serde::Deserialize`"
)]
pub trait Argument: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Argument for T {}

/// The list of a function's parameters that are not reserved.
pub trait InputList {
    /// The input of one call: the argument, or a tuple of several.
    type Item: Argument;
}

impl InputList for Nil {
    type Item = ();
}

impl<A: Argument> InputList for Cons<A, Nil> {
    type Item = A;
}

macro_rules! input_list {
    ($($P:ident)*) => {
        impl<$($P: Argument),*> InputList for cons!($($P)*) {
            type Item = ($($P,)*);
        }
    };
}

macro_rules! cons {
    () => { Nil };
    ($P:ident $($rest:ident)*) => { Cons<$P, cons!($($rest)*)> };
}

input_list!(A B);
input_list!(A B C);
input_list!(A B C D);
input_list!(A B C D E);
input_list!(A B C D E F);
input_list!(A B C D E F G);
input_list!(A B C D E F G H);
