//! Writes maps and arrays. Their elements are counted, because a type may announce another number than it
//! writes.

use serde::{
    Serialize,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{
    Error,
    encoder::{Encoder, too_long},
    markers::{ARRAY_16, ARRAY_32, FIX_ARRAY, FIX_MAP, MAP_16, MAP_32},
};

/// The kind of a compound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Array,
    Map,
}

impl Form {
    fn header(self, length: u32, header: &mut [u8; 5]) -> &[u8] {
        let [fixed, short, long] = match self {
            Self::Array => [FIX_ARRAY, ARRAY_16, ARRAY_32],
            Self::Map => [FIX_MAP, MAP_16, MAP_32],
        };
        let bytes = length.to_be_bytes();
        match length {
            0..16 => {
                header[0] = fixed | length as u8;
                &header[..1]
            }
            16..0x1_0000 => {
                header[..3].copy_from_slice(&[short, bytes[2], bytes[3]]);
                &header[..3]
            }
            _ => {
                header[0] = long;
                header[1..].copy_from_slice(&bytes);
                &header[..]
            }
        }
    }
}

/// A map or an array that is being written.
#[derive(Debug)]
pub(super) struct Compound<'e, 'o> {
    encoder: &'e mut Encoder<'o>,
    form: Form,
    /// The offset of the header in the output.
    at: usize,
    /// The number of elements that the header says.
    said: u32,
    count: u32,
    /// Whether a key was written whose value is still to come.
    key: bool,
    somes: u16,
}

impl<'e, 'o> Compound<'e, 'o> {
    #[inline]
    pub(super) fn begin(
        encoder: &'e mut Encoder<'o>,
        form: Form,
        length: Option<usize>,
    ) -> Result<Self, Error> {
        let somes = encoder.enter()?;
        let at = encoder.out.len();
        let said = length.and_then(|length| u32::try_from(length).ok()).unwrap_or_default();
        let mut header = [0; 5];
        encoder.out.extend_from_slice(form.header(said, &mut header));
        Ok(Self { encoder, form, at, said, count: 0, key: false, somes })
    }

    #[inline]
    fn counted(&mut self) -> Result<(), Error> {
        self.count = self.count.checked_add(1).ok_or_else(too_long)?;
        Ok(())
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.counted()?;
        self.encoder.inner(value)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.counted()?;
        self.encoder.text(name)?;
        self.encoder.inner(value)
    }

    #[inline]
    fn finish(mut self) -> Result<(), Error> {
        if self.count != self.said {
            self.correct_header();
        }
        self.encoder.leave(self.somes);
        Ok(())
    }

    /// Writes the header again, because the number was unknown beforehand, or wrong.
    fn correct_header(&mut self) {
        let (mut before, mut after) = ([0; 5], [0; 5]);
        let before = self.form.header(self.said, &mut before).len();
        let after = self.form.header(self.count, &mut after);
        self.encoder.out.splice(self.at..self.at + before, after.iter().copied());
    }
}

macro_rules! elements {
    ($($Trait:ident::$method:ident),*) => {
        $(impl $Trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        })*
    };
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! fields {
    ($($Trait:ident),*) => {
        $(impl $Trait for Compound<'_, '_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if self.key {
            return Err(unpaired());
        }
        self.key = true;
        self.element(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !self.key {
            return Err(unpaired());
        }
        self.key = false;
        self.encoder.inner(value)
    }

    fn end(self) -> Result<(), Error> {
        if self.key {
            return Err(unpaired());
        }
        self.finish()
    }
}

#[cold]
fn unpaired() -> Error {
    <Error as serde::ser::Error>::custom(
        "the type's `Serialize` does not write a value after each key of a map",
    )
}
