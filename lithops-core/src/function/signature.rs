//! [`Function`]: the types of a function, found from its function item.

use std::future::Future;

use super::{
    Argument, InputList, Reserved, SharedList,
    list::{Cons, Nil},
};

/// Marks a reserved parameter.
#[derive(Debug)]
pub struct Res;

/// Marks a parameter that is part of the input.
#[derive(Debug)]
pub struct Inp;

/// Marks an `async` function.
#[derive(Debug)]
pub struct IsAsync;

/// Marks a plain function.
#[derive(Debug)]
pub struct IsSync;

/// A parameter: reserved, or part of the input. `K` is inferred.
pub trait Param<K> {
    /// The list of inputs with this parameter in front.
    type InputsIn<L>;
    /// The list of shared values with this parameter in front.
    type SharedIn<L>;
}

impl<P: Reserved> Param<Res> for P {
    type InputsIn<L> = L;
    type SharedIn<L> = P::SharedIn<L>;
}

impl<P: Argument> Param<Inp> for P {
    type InputsIn<L> = Cons<P, L>;
    type SharedIn<L> = L;
}

/// The result of a function: the output of an `async` function, otherwise the returned type. `K` is inferred.
pub trait RetOf<K> {
    /// The type of the value, or the `Result`.
    type Ret;
}

impl<F: Future> RetOf<IsAsync> for F {
    type Ret = F::Output;
}

// The future of an async fn is never `Unpin`, so that the two implementations never apply to the same type.
impl<T: Unpin> RetOf<IsSync> for T {
    type Ret = T;
}

/// A function that can be mapped. `K` is inferred from its parameters.
///
/// The compiler implements this trait for every function item whose parameters are owned arguments or
/// reserved parameters. Whether the function also has the attribute is checked when the job starts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be run by lithops",
    label = "not a `#[lithops::function]` of owned arguments",
    note = "pass the function itself, not a closure; its arguments and result must be `Serialize + DeserializeOwned`"
)]
pub trait Function<K>: Copy + Send + Sync + 'static {
    /// The input of one call: the argument, or a tuple of several.
    type Item: Argument;
    /// The state of the job's shared data when the job is made.
    type Shared;
    /// The type that the function returns, a `Result` included.
    type Ret;
}

macro_rules! function {
    ($($P:ident $K:ident)*) => {
        impl<Func, Ret, KRet, $($P, $K,)*> Function<(fn($($P),*) -> Ret, ($($K,)*), KRet)> for Func
        where
            Func: Fn($($P),*) -> Ret + Copy + Send + Sync + 'static,
            Ret: RetOf<KRet>,
            $($P: Param<$K>,)*
            list!(InputsIn; $($P $K)*): InputList,
            list!(SharedIn; $($P $K)*): SharedList,
        {
            type Item = <list!(InputsIn; $($P $K)*) as InputList>::Item;
            type Shared = <list!(SharedIn; $($P $K)*) as SharedList>::State;
            type Ret = Ret::Ret;
        }
    };
}

macro_rules! list {
    ($list:ident;) => { Nil };
    ($list:ident; $P:ident $K:ident $($rest:tt)*) => { <$P as Param<$K>>::$list<list!($list; $($rest)*)> };
}

function!();
function!(A KA);
function!(A KA B KB);
function!(A KA B KB C KC);
function!(A KA B KB C KC D KD);
function!(A KA B KB C KC D KD E KE);
function!(A KA B KB C KC D KD E KE F KF);
function!(A KA B KB C KC D KD E KE F KF G KG);
function!(A KA B KB C KC D KD E KE F KF G KG H KH);
function!(A KA B KB C KC D KD E KE F KF G KG H KH I KI);
function!(A KA B KB C KC D KD E KE F KF G KG H KH I KI J KJ);
function!(A KA B KB C KC D KD E KE F KF G KG H KH I KI J KJ L KL);
function!(A KA B KB C KC D KD E KE F KF G KG H KH I KI J KJ L KL M KM);
