//! Lists of types, for the parameters of functions.

use std::marker::PhantomData;

/// The end of a type-level list.
#[derive(Debug)]
pub struct Nil;

/// A type-level list.
#[derive(Debug)]
pub struct Cons<A, L>(PhantomData<(A, L)>);
