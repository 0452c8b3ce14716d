//! Lists of types, as functions have parameters.

use std::marker::PhantomData;

/// The end of a type-level list.
#[derive(Debug)]
pub struct Nil;

/// A type-level list.
#[derive(Debug)]
pub struct Cons<A, L>(PhantomData<(A, L)>);
