//! [`Function`]: the types of a function, found from the function item or closure itself.

use std::future::Future;

use super::{
    Argument, Arguments, InputList, Reserved, RunFn, Scope, SharedList, Take,
    any_result::{encode_any, problem_of},
    glue::{Glue, value_of},
    list::{Cons, Nil},
};
use crate::error::CallError;

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
pub trait Param<K>: Sized {
    /// Whether the parameter is reserved.
    const RESERVED: bool;
    /// Whether the parameter is the storage.
    const STORAGE: bool;
    /// Whether the parameter is an object of a data source.
    const OBJECT: bool;
    /// The list of inputs with this parameter in front.
    type InputsIn<L>;
    /// The list of shared values with this parameter in front.
    type SharedIn<L>;

    /// The value of the parameter.
    ///
    /// # Errors
    /// When the value cannot be decoded, or a reserved value cannot be made.
    fn take(scope: &Scope<'_>, arguments: &mut Arguments<'_>) -> Result<Self, CallError>;
}

impl<P: Reserved> Param<Res> for P {
    const RESERVED: bool = true;
    const STORAGE: bool = <P as Reserved>::STORAGE;
    const OBJECT: bool = <P as Reserved>::OBJECT;
    type InputsIn<L> = L;
    type SharedIn<L> = P::SharedIn<L>;

    fn take(scope: &Scope<'_>, _: &mut Arguments<'_>) -> Result<Self, CallError> {
        <P as Reserved>::take(scope)
    }
}

impl<P: Argument> Param<Inp> for P {
    const RESERVED: bool = false;
    const STORAGE: bool = false;
    const OBJECT: bool = false;
    type InputsIn<L> = Cons<P, L>;
    type SharedIn<L> = L;

    fn take(scope: &Scope<'_>, arguments: &mut Arguments<'_>) -> Result<Self, CallError> {
        <P as Take<false>>::take(scope, arguments)
    }
}

/// The result of a function: the output of an `async` function, otherwise the returned type. `K` is inferred.
pub trait RetOf<K>: Sized {
    /// The type of the value, or the `Result`.
    type Ret;

    /// How a function that returns this type is run.
    fn run<F: Function<L, Returned = Self>, L>() -> RunFn;
}

impl<F: Future + 'static> RetOf<IsAsync> for F {
    type Ret = F::Output;

    fn run<G: Function<L, Returned = Self>, L>() -> RunFn {
        RunFn::Async(|scope, input, out| {
            let begun = G::call(scope, input);
            Box::pin(async move { encode_any(begun?.await, out) })
        })
    }
}

// The future of an async fn is never `Unpin`, so that the two implementations never apply to the same type.
impl<T: Unpin> RetOf<IsSync> for T {
    type Ret = T;

    fn run<F: Function<L, Returned = Self>, L>() -> RunFn {
        RunFn::Sync(|scope, input, out| encode_any(F::call(scope, input)?, out))
    }
}

/// A function that can be mapped: with the attribute, without it, or a closure that captures nothing. `K` is
/// inferred from its parameters.
///
/// The compiler implements this trait for every function whose parameters are owned arguments or reserved
/// parameters.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be run by lithops",
    label = "not a function of owned arguments",
    note = "pass a function, or a closure that captures nothing and names the types of its arguments; arguments and \
            result must be `Serialize + DeserializeOwned`"
)]
pub trait Function<K>: Send + Sync {
    /// The input of one call: the argument, or a tuple of several.
    type Item: Argument;
    /// The state of the job's shared data when the job is made.
    type Shared;
    /// The type that the function returns, a `Result` included; of an `async` function, the type of its output.
    type Ret;
    /// The type that the function returns; of an `async` function, its future.
    #[doc(hidden)]
    type Returned;
    /// How the function is called when it has no attribute.
    #[doc(hidden)]
    const GLUE: &'static Glue;

    /// Decodes the arguments and calls the function.
    #[doc(hidden)]
    fn call(scope: &Scope<'_>, input: &[u8]) -> Result<Self::Returned, CallError>;
}

macro_rules! function {
    ($($P:ident $K:ident)*) => {
        impl<Func, Ret, KRet, $($P, $K,)*> Function<(fn($($P),*) -> Ret, ($($K,)*), KRet)> for Func
        where
            Func: Fn($($P),*) -> Ret + Send + Sync,
            Ret: RetOf<KRet>,
            $($P: Param<$K>,)*
            list!(InputsIn; $($P $K)*): InputList,
            list!(SharedIn; $($P $K)*): SharedList,
        {
            type Item = <list!(InputsIn; $($P $K)*) as InputList>::Item;
            type Shared = <list!(SharedIn; $($P $K)*) as SharedList>::State;
            type Ret = Ret::Ret;
            type Returned = Ret;
            const GLUE: &'static Glue = &Glue::new::<Func>(
                Ret::run::<Func, (fn($($P),*) -> Ret, ($($K,)*), KRet)>,
                problem_of::<Ret::Ret>,
                false $(|| <$P as Param<$K>>::STORAGE)*,
                false $(|| <$P as Param<$K>>::OBJECT)*,
            );

            #[allow(non_snake_case, unused_variables, unused_mut, reason = "written for any number of parameters")]
            fn call(scope: &Scope<'_>, input: &[u8]) -> Result<Ret, CallError> {
                let inputs = 0 $(+ usize::from(!<$P as Param<$K>>::RESERVED))*;
                let mut arguments = Arguments::new(input, inputs)?;
                $(let $P = <$P as Param<$K>>::take(scope, &mut arguments)?;)*
                Ok(value_of::<Func>()($($P),*))
            }
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
