//! Decodes the arguments of a call, one parameter at a time.

use serde::de::DeserializeOwned;

use super::{Reserved, Scope};
use crate::{
    error::{CallError, CallErrorKind},
    value::Decoder,
};

/// The encoded input of a call, read parameter by parameter.
#[derive(Debug)]
pub struct Arguments<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Arguments<'a> {
    /// Reads the input of a function with `inputs` parameters that are not reserved.
    ///
    /// # Errors
    /// When the input is not a tuple of `inputs` values.
    pub fn new(input: &'a [u8], inputs: usize) -> Result<Self, CallError> {
        // A single argument stands alone; several are a MessagePack array, whose header is one byte for up to
        // 15 elements.
        let values = match input {
            [header, values @ ..] if inputs > 1 => {
                if usize::from(*header) != 0x90 + inputs {
                    return Err(undecodable(format!("the input is not a tuple of {inputs} values")));
                }
                values
            }
            _ => input,
        };
        Ok(Self { decoder: Decoder::new(values) })
    }
}

/// A parameter's value, taken from the scope when the parameter is reserved, otherwise from the input.
pub trait Take<const RESERVED: bool>: Sized {
    /// The value of the parameter.
    ///
    /// # Errors
    /// When the value cannot be decoded, or a reserved value cannot be made.
    fn take(scope: &Scope<'_>, arguments: &mut Arguments<'_>) -> Result<Self, CallError>;
}

impl<T: Reserved> Take<true> for T {
    fn take(scope: &Scope<'_>, _: &mut Arguments<'_>) -> Result<Self, CallError> {
        Reserved::take(scope)
    }
}

impl<T: DeserializeOwned> Take<false> for T {
    fn take(_: &Scope<'_>, arguments: &mut Arguments<'_>) -> Result<Self, CallError> {
        arguments.decoder.value::<T>().map_err(|error| {
            undecodable(format!(
                "the argument of type `{}` does not decode: {error}",
                std::any::type_name::<T>()
            ))
        })
    }
}

fn undecodable(message: String) -> CallError {
    CallError::new(CallErrorKind::Undecodable, message)
}
