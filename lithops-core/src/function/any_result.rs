//! Encodes what a function without the attribute returns: a value, or a `Result` of nearly any error.
//!
//! The attribute's code sees the returned type and chooses the way of encoding where the compiler knows it.
//! For a closure or a plain function only generic code exists, and Rust cannot ask in generic code whether
//! `T` implements a trait: bounds on [`Function`](super::Function) would refuse functions with the attribute whose errors do not
//! implement serde's traits, and two implementations for "a value" and "a `Result`" would be ambiguous for
//! errors that do. So each way of encoding is a method of [`Ways`] with a `where` clause:
//!
//! - [`can`] asks whether the clause holds, by a rule of `Rc`'s `==`, which is documented: where `T: Eq`, a
//!   pointer equals itself without a comparison of the values.
//! - The table of methods behind `dyn Ways<T>` contains the methods whose clauses hold, and keeps the places
//!   of the others. [`way`] reads the method from its place.
//!
//! The second point is how the compiler works today, and not a promise of the language. [`is_supported`]
//! compares tables with the addresses of their methods; where they differ, functions without the attribute
//! are refused with an error, and nothing is read.
#![expect(unsafe_code, reason = "methods are found by their place, and values are moved by address")]

use std::{
    any::type_name,
    error::Error as StdError,
    fmt::{self, Display},
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit, transmute},
    ptr::NonNull,
    rc::Rc,
    sync::OnceLock,
};

use serde::{Serialize, ser::Error as _};

use super::{ErrorProbe, ViaBoxed as _, ViaDisplay as _, ViaStdError as _, encode};
use crate::error::{CallError, CallErrorKind};

type Outcome = Result<(), CallError>;

/// A method of [`Ways`]. The first pointer is `self`; the second is a value of the type, which is moved out of
/// its place.
type Way = unsafe fn(NonNull<()>, NonNull<()>, &mut Vec<u8>) -> Outcome;

/// Appends the encoded value to `out`, or returns the error that the function has returned.
///
/// # Errors
/// The function's own error; or the value cannot be encoded.
pub(super) fn encode_any<T>(returned: T, out: &mut Vec<u8>) -> Outcome {
    if can::<T, SPLIT>() {
        run::<T>(SPLIT, returned, out)
    } else if can::<T, VALUE>() {
        run::<T>(VALUE, returned, out)
    } else {
        Err(unencodable::<T>())
    }
}

/// Why values of the type cannot be results; `None` if they can.
pub(super) fn problem_of<T>() -> Option<CallError> {
    if can::<T, SPLIT>() {
        // SAFETY: The clause holds, and the method uses neither of the pointers.
        unsafe { way::<T>(CHECK)(NonNull::dangling(), NonNull::dangling(), &mut Vec::new()) }.err()
    } else {
        (!can::<T, VALUE>()).then(unencodable::<T>)
    }
}

/// Encodes the value of a `Result`.
fn encode_value<T>(value: T, out: &mut Vec<u8>) -> Outcome {
    if can::<T, VALUE>() { run(VALUE, value, out) } else { Err(unencodable::<T>()) }
}

/// Turns the error of a `Result` into that of a call.
fn convert_error<E>(error: E) -> CallError {
    let ways = [BOXED, ERROR, BOX, WORDS];
    match ways.into_iter().find(|number| can_be::<E>(*number)) {
        Some(number) => run(number, error, &mut Vec::new()).err().unwrap_or_else(wordless::<E>),
        None => wordless::<E>(),
    }
}

fn unencodable<T>() -> CallError {
    let problem = format!(
        "the result type `{}` cannot be sent: it does not implement `serde::Serialize`",
        type_name::<T>()
    );
    CallError::new(CallErrorKind::Undecodable, problem)
}

fn wordless<E>() -> CallError {
    let problem = format!(
        "the error type `{}` has no words: implement `std::error::Error` for it, or `Display`",
        type_name::<E>()
    );
    CallError::new(CallErrorKind::Undecodable, problem)
}

// The places of the methods of `Ways`.
const VALUE: usize = 0;
const SPLIT: usize = 1;
const CHECK: usize = 2;
const BOXED: usize = 3;
const ERROR: usize = 4;
const BOX: usize = 5;
const WORDS: usize = 6;

/// The ways of encoding a value of type `T`, in the order of the constants above.
///
/// # Safety
/// The pointer leads to a value of `T`, which the method moves out of its place.
trait Ways<T> {
    unsafe fn value(&self, value: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Serialize;
    unsafe fn split(&self, value: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Split;
    unsafe fn check(&self, unused: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Split;
    unsafe fn boxed(&self, error: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Into<Box<dyn StdError + Send + Sync>>;
    unsafe fn error(&self, error: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: StdError + 'static;
    unsafe fn boxed_locally(&self, error: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: BoxedError;
    unsafe fn words(&self, error: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Display;
}

/// A `Result`.
trait Split {
    type Value;
    type Error;
    fn split(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E> Split for Result<T, E> {
    type Value = T;
    type Error = E;

    fn split(self) -> Self {
        self
    }
}

/// A boxed error that is not `Send + Sync`, which implements `std::error::Error` in no way.
trait BoxedError {
    fn boxed(self) -> Box<dyn StdError>;
}

impl BoxedError for Box<dyn StdError> {
    fn boxed(self) -> Self {
        self
    }
}

struct Of<T>(PhantomData<T>);

impl<T> Ways<T> for Of<T> {
    #[inline(never)]
    unsafe fn value(&self, value: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Serialize,
    {
        // SAFETY: As the trait says.
        encode(&unsafe { value.cast::<T>().read() }, out)
    }

    #[inline(never)]
    unsafe fn split(&self, value: NonNull<()>, out: &mut Vec<u8>) -> Outcome
    where
        T: Split,
    {
        // SAFETY: As the trait says.
        match unsafe { value.cast::<T>().read() }.split() {
            Ok(value) => encode_value(value, out),
            Err(error) => Err(convert_error(error)),
        }
    }

    #[inline(never)]
    unsafe fn check(&self, _: NonNull<()>, _: &mut Vec<u8>) -> Outcome
    where
        T: Split,
    {
        if !can::<T::Value, VALUE>() {
            return Err(unencodable::<T::Value>());
        }
        let has_words = [BOXED, ERROR, BOX, WORDS].into_iter().any(can_be::<T::Error>);
        if has_words { Ok(()) } else { Err(wordless::<T::Error>()) }
    }

    #[inline(never)]
    unsafe fn boxed(&self, error: NonNull<()>, _: &mut Vec<u8>) -> Outcome
    where
        T: Into<Box<dyn StdError + Send + Sync>>,
    {
        // SAFETY: As the trait says.
        Err((&&&ErrorProbe::new(unsafe { error.cast::<T>().read() })).call_error())
    }

    #[inline(never)]
    unsafe fn error(&self, error: NonNull<()>, _: &mut Vec<u8>) -> Outcome
    where
        T: StdError + 'static,
    {
        // SAFETY: As the trait says.
        Err((&&ErrorProbe::new(unsafe { error.cast::<T>().read() })).call_error())
    }

    #[inline(never)]
    unsafe fn boxed_locally(&self, error: NonNull<()>, _: &mut Vec<u8>) -> Outcome
    where
        T: BoxedError,
    {
        // SAFETY: As the trait says.
        Err(ErrorProbe::new(unsafe { error.cast::<T>().read() }.boxed()).call_error())
    }

    #[inline(never)]
    unsafe fn words(&self, error: NonNull<()>, _: &mut Vec<u8>) -> Outcome
    where
        T: Display,
    {
        // SAFETY: As the trait says.
        Err(ErrorProbe::new(unsafe { error.cast::<T>().read() }).call_error())
    }
}

/// Equal to itself only where `T` has the bounds of the way of this number.
struct Can<T, const WAY: usize>(PhantomData<T>);

impl<T, const WAY: usize> PartialEq for Can<T, WAY> {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl<T: Serialize> Eq for Can<T, VALUE> {}
impl<T: Split> Eq for Can<T, SPLIT> {}
impl<T: Into<Box<dyn StdError + Send + Sync>>> Eq for Can<T, BOXED> {}
impl<T: StdError + 'static> Eq for Can<T, ERROR> {}
impl<T: BoxedError> Eq for Can<T, BOX> {}
impl<T: Display> Eq for Can<T, WORDS> {}

/// Whether the type has the bounds of a way.
fn can<T, const WAY: usize>() -> bool {
    let pointer = Rc::new(Can::<T, WAY>(PhantomData));
    pointer == Rc::clone(&pointer)
}

/// As [`can`], for the ways of errors.
fn can_be<E>(number: usize) -> bool {
    match number {
        BOXED => can::<E, BOXED>(),
        ERROR => can::<E, ERROR>(),
        BOX => can::<E, BOX>(),
        _ => can::<E, WORDS>(),
    }
}

/// Moves the value into a way, whose bounds the type has.
fn run<T>(number: usize, value: T, out: &mut Vec<u8>) -> Outcome {
    let value = ManuallyDrop::new(value);
    // SAFETY: The caller has asked `can`; the value is moved out of a place where it is not dropped.
    unsafe { way::<T>(number)(NonNull::dangling(), NonNull::from(&value).cast(), out) }
}

/// How many words are in front of the methods in a table: how to drop a value, its size and its alignment.
const HEADER: usize = 3;

/// Reads a method from the table of `dyn Ways<T>`.
///
/// # Safety
/// The type has the bounds of the method; before the method is called, [`is_supported`] has returned true.
unsafe fn way<T>(number: usize) -> Way {
    let pointer: &dyn Ways<T> = &Of(PhantomData);
    // SAFETY: A wide pointer is a pointer to the value and one to the table: `transmute` checks its size. The
    // word is filled in, because the type has the method's bounds.
    unsafe {
        let [_, table] = transmute::<&dyn Ways<T>, [NonNull<MaybeUninit<Way>>; 2]>(pointer);
        table.add(HEADER + number).read().assume_init()
    }
}

/// Whether tables of methods are laid out as [`way`] expects, by this program's compiler.
pub(super) fn is_supported() -> bool {
    static SUPPORTED: OnceLock<bool> = OnceLock::new();
    *SUPPORTED.get_or_init(compare)
}

/// A type of the test: a value, and an error of each kind but one.
#[derive(Debug)]
struct Known;

impl Serialize for Known {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("it is never encoded"))
    }
}

impl Display for Known {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl StdError for Known {}

/// Compares the places of all methods, in tables that lack different ones, with the methods' addresses.
#[inline(never)]
fn compare() -> bool {
    type Split = Result<Known, Known>;
    type Local = Box<dyn StdError>;
    let asks = can::<Known, VALUE>()
        && can::<Split, SPLIT>()
        && can::<Known, BOXED>()
        && can::<Known, ERROR>()
        && can::<Local, BOX>()
        && can::<Known, WORDS>()
        && !can::<Local, VALUE>()
        && !can::<Known, SPLIT>()
        && !can::<Local, BOXED>()
        && !can::<Local, ERROR>()
        && !can::<Known, BOX>()
        && !can::<Split, WORDS>();
    asks && is_at::<Known>(VALUE, <Of<Known> as Ways<Known>>::value)
        && is_at::<Split>(SPLIT, <Of<Split> as Ways<Split>>::split)
        && is_at::<Split>(CHECK, <Of<Split> as Ways<Split>>::check)
        && is_at::<Known>(BOXED, <Of<Known> as Ways<Known>>::boxed)
        && is_at::<Known>(ERROR, <Of<Known> as Ways<Known>>::error)
        && is_at::<Local>(BOX, <Of<Local> as Ways<Local>>::boxed_locally)
        && is_at::<Known>(WORDS, <Of<Known> as Ways<Known>>::words)
}

/// Whether the method of this number is where [`way`] reads it.
fn is_at<T>(number: usize, method: unsafe fn(&Of<T>, NonNull<()>, &mut Vec<u8>) -> Outcome) -> bool {
    // SAFETY: Only the method's address is used, which is compared with the one that the compiler gives.
    let found = unsafe { way::<T>(number) };
    found as usize == method as usize
}
