//! Errors of streams that do not follow the protocol, or end too early.

use crate::error::{Error, ErrorKind};

/// An error for bytes that do not follow the protocol.
pub(crate) fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unexpected, format!("malformed frame: {}", what.into()))
        .with_hint("the peer is broken or is not a lithops process of this version")
}

/// An error for a stream that ends inside a frame: the peer has died while it wrote, which is no breach of
/// the protocol.
pub(super) fn cut_short() -> Error {
    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the stream ended inside a frame").into()
}

/// An error for descriptors that were lost because this process has too many open files.
#[must_use]
pub fn no_descriptors() -> Error {
    Error::new(ErrorKind::WorkerLost, "too many open files: a descriptor that came with a message was lost")
        .with_hint(
            "raise the limit of open files (`ulimit -n`), or let the program or its functions hold fewer",
        )
}
