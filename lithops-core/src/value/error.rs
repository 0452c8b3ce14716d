//! [`Error`]: the reason why a value is not encoded or decoded.

use std::fmt;

use serde::{de, ser};

use super::depth::MAX_DEPTH;

/// The reason why a value is not encoded or decoded.
#[derive(Debug)]
pub struct Error(Box<Reason>);

#[derive(Debug)]
enum Reason {
    /// An error of the type's `Serialize` or `Deserialize`, or of serde.
    Said(String),
    /// The bytes end before the value does.
    CutShort,
    /// The bytes do not have this format.
    Malformed(&'static str),
    /// More levels than [`MAX_DEPTH`].
    TooDeep,
    /// The system has no memory for a stack on which a deep value could be decoded.
    NoStack,
}

impl Error {
    /// Whether the value is nested too deeply.
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        matches!(*self.0, Reason::TooDeep)
    }

    #[cold]
    pub(super) fn cut_short() -> Self {
        Self(Box::new(Reason::CutShort))
    }

    #[cold]
    pub(super) fn malformed(what: &'static str) -> Self {
        Self(Box::new(Reason::Malformed(what)))
    }

    #[cold]
    pub(super) fn too_deep() -> Self {
        Self(Box::new(Reason::TooDeep))
    }

    #[cold]
    pub(super) fn no_stack() -> Self {
        Self(Box::new(Reason::NoStack))
    }

    #[cold]
    fn said(message: &dyn fmt::Display) -> Self {
        let mut message = message.to_string();
        // The message of serde for numbers that its own buffers cannot hold, in any format.
        let small = message == "i128 is not supported" || message == "u128 is not supported";
        let large = message.ends_with(" as i128, expected any value")
            || message.ends_with(" as u128, expected any value");
        if small || large {
            message.push_str(
                "; serde supports no 128-bit integers below `flatten`, `tag` and `untagged`, in any format: write it as \
                 text there, for example with `#[serde(with = \"..\")]`",
            );
        }
        Self(Box::new(Reason::Said(message)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::Said(message) => f.write_str(message),
            Reason::CutShort => f.write_str("the encoded value is cut short"),
            Reason::Malformed(what) => write!(f, "the encoded value is malformed: {what}"),
            Reason::TooDeep => write!(f, "the value is nested more than {MAX_DEPTH} levels deep"),
            Reason::NoStack => {
                f.write_str("there is no memory for the stack that a value of so many levels needs")
            }
        }
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(&message)
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(&message)
    }
}
