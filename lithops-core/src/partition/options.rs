//! [`ObjectOptions`]: how many parts objects are cut into, and where.

use super::ByteSize;
use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
};

/// The options of a job for its objects.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObjectOptions {
    pub(crate) chunk_size: Option<ByteSize>,
    pub(crate) chunk_number: Option<u64>,
    /// The bytes that end a record: `None` is the default, `Some(None)` means that objects are cut anywhere.
    pub(crate) newline: Option<Option<String>>,
}

impl ObjectOptions {
    /// The name of an option that was given, if there is one.
    pub(crate) fn any(&self) -> Option<&'static str> {
        let said = [
            (self.chunk_size.is_some(), "obj_chunk_size"),
            (self.chunk_number.is_some(), "obj_chunk_number"),
            (self.newline.is_some(), "obj_newline"),
        ];
        said.into_iter().find_map(|(is_said, name)| is_said.then_some(name))
    }

    /// Refuses options that contradict each other or have no meaning.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong =
            |message: &str, hint: &str| Err(Error::new(ErrorKind::InvalidInput, message).with_hint(hint));
        if self.chunk_size.is_some() && self.chunk_number.is_some() {
            return wrong(
                "`obj_chunk_size` and `obj_chunk_number` both say how objects are cut",
                "leave one of them out",
            );
        }
        if self.chunk_size == Some(ByteSize::b(0)) {
            return wrong("`obj_chunk_size` is 0", "write for example `ByteSize::mib(8)`");
        }
        if self.chunk_number == Some(0) {
            return wrong("`obj_chunk_number` is 0", "write 1 for one part per object");
        }
        if self.newline.as_ref().and_then(Option::as_ref).is_some_and(String::is_empty) {
            return wrong("`obj_newline` is empty", "write `obj_newline(None)` to cut objects anywhere");
        }
        Ok(())
    }

    /// The bytes that end a record; `None` means that objects are cut anywhere.
    pub(crate) fn separator(&self) -> Option<Bytes> {
        match &self.newline {
            None => Some(Bytes::from(b"\n".to_vec())),
            Some(newline) => newline.as_ref().map(|newline| Bytes::from(newline.clone().into_bytes())),
        }
    }

    /// How many parts an object of `size` bytes has.
    pub(crate) fn parts(&self, size: u64) -> u64 {
        match (self.chunk_size, self.chunk_number) {
            (Some(chunk), _) => size.div_ceil(chunk.bytes()).max(1),
            (None, Some(number)) => number.min(size).max(1),
            (None, None) => 1,
        }
    }

    /// The range of the `part`th part of an object of `size` bytes, as start and end.
    pub(crate) fn range(&self, size: u64, part: u64) -> (u64, u64) {
        let total = self.parts(size);
        match self.chunk_size {
            Some(chunk) => {
                let start = part.saturating_mul(chunk.bytes()).min(size);
                (start, start.saturating_add(chunk.bytes()).min(size))
            }
            None => {
                let at = |part: u64| (u128::from(size) * u128::from(part) / u128::from(total)) as u64;
                (at(part), at(part + 1))
            }
        }
    }
}
