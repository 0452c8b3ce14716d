//! Decoding the arguments of a call, one parameter at a time.

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
    /// The input of a function with `inputs` parameters that are not reserved.
    ///
    /// # Errors
    /// When the input is not for that many parameters.
    pub fn new(input: &'a [u8], inputs: usize) -> Result<Self, CallError> {
        // One argument stands alone; several are a MessagePack array, whose header is one byte up to 15
        // elements.
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

/// Takes a parameter: from the scope when it is reserved, else from the input.
pub trait Take<const RESERVED: bool>: Sized {
    /// The value of the parameter.
    ///
    /// # Errors
    /// When it cannot be decoded or made.
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
