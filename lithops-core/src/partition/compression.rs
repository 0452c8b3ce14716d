//! [`Compression`]: objects that are compressed or packed, which cannot be cut.

use std::pin::Pin;

use async_compression::tokio::bufread::ZstdDecoder;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncRead};

use super::members::Members;

/// The endings of names of what is compressed or packed in another way.
const OTHERS: [&str; 23] = [
    "7z", "br", "bz", "bz2", "cab", "jar", "lz", "lz4", "lzma", "lzo", "rar", "sz", "tbz", "tbz2", "tgz",
    "tlz", "txz", "tzst", "xz", "z", "zip", "whl", "zpaq",
];

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    /// In a way that is not unpacked here: its bytes are what they are, and there are no lines in them.
    Other,
}

impl Compression {
    /// What the end of a name says.
    pub(crate) fn of(name: &str) -> Self {
        // A URL may have a query after its name.
        let name = name.split(['?', '#']).next().unwrap_or(name).to_ascii_lowercase();
        match name.rsplit_once('.') {
            Some((_, "gz" | "gzip")) => Self::Gzip,
            Some((_, "zst" | "zstd")) => Self::Zstd,
            Some((_, ending)) if OTHERS.contains(&ending) => Self::Other,
            _ => Self::None,
        }
    }

    pub(super) fn unpack(self, packed: impl AsyncBufRead + Send + 'static) -> Pin<Box<dyn AsyncRead + Send>> {
        match self {
            Self::None | Self::Other => Box::pin(packed),
            Self::Gzip => Box::pin(Members::new(packed)),
            Self::Zstd => {
                let mut decoder = ZstdDecoder::new(packed);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        }
    }
}
