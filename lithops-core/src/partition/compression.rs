//! [`Compression`]: whether an object is compressed or packed; such an object cannot be cut.

use std::pin::Pin;

#[cfg(feature = "zstd")]
use async_compression::tokio::bufread::ZstdDecoder;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncRead};

use super::members::Members;
use crate::error::{Error, ErrorKind, Result};

/// The endings of names of objects that are compressed or packed in a form that is not unpacked here.
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
    /// In a form that is not unpacked here: the function gets the bytes as they are, and they have no lines.
    Other,
}

impl Compression {
    /// The compression that the end of a name says.
    pub(crate) fn of(name: &str) -> Self {
        // A URL may have a query behind its name.
        let name = name.split(['?', '#']).next().unwrap_or(name).to_ascii_lowercase();
        match name.rsplit_once('.') {
            Some((_, "gz" | "gzip")) => Self::Gzip,
            Some((_, "zst" | "zstd")) => Self::Zstd,
            Some((_, ending)) if OTHERS.contains(&ending) => Self::Other,
            _ => Self::None,
        }
    }

    /// Checks that this program can unpack the object `name`.
    ///
    /// # Errors
    /// `Unsupported` where a feature is missing.
    pub(super) fn check(self, name: &dyn std::fmt::Display) -> Result<()> {
        if self == Self::Zstd && cfg!(not(feature = "zstd")) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("`{name}` is compressed, and this program unpacks no zstd"),
            )
            .with_hint("enable the cargo feature `zstd` of crate `lithops`"));
        }
        Ok(())
    }

    pub(super) fn unpack(self, packed: impl AsyncBufRead + Send + 'static) -> Pin<Box<dyn AsyncRead + Send>> {
        match self {
            Self::None | Self::Other => Box::pin(packed),
            Self::Gzip => Box::pin(Members::new(packed)),
            #[cfg(not(feature = "zstd"))]
            Self::Zstd => Box::pin(packed),
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                let mut decoder = ZstdDecoder::new(packed);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        }
    }
}
