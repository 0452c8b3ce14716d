//! [`Packing`]: objects that are compressed, which cannot be cut.

use std::pin::Pin;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncRead};

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// What the end of a name says.
    pub(crate) fn of(name: &str) -> Self {
        // A URL may have a query after its name.
        let name = name.split(['?', '#']).next().unwrap_or(name).to_ascii_lowercase();
        match name.rsplit_once('.') {
            Some((_, "gz" | "gzip")) => Self::Gzip,
            Some((_, "zst" | "zstd")) => Self::Zstd,
            _ => Self::None,
        }
    }

    pub(super) fn unpack(self, packed: impl AsyncBufRead + Send + 'static) -> Pin<Box<dyn AsyncRead + Send>> {
        match self {
            Self::None => Box::pin(packed),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(packed);
                // Files that were appended to one another are one file.
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Self::Zstd => {
                let mut decoder = ZstdDecoder::new(packed);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        }
    }
}
