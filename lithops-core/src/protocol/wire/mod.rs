//! Frames as bytes, and the sockets that carry them.

mod channel;
mod frame;
mod limits;
mod malformed;
mod outbox;
mod received_fds;
mod relay;
mod watched;

pub use channel::{BlockingFrames, Incoming, channel, send_lent};
pub use frame::{Frame, FrameKind, FrameReader, HEADER_LEN, frame_header, read_frame};
pub use limits::{MAX_FRAME, MAX_VALUE};
pub(crate) use malformed::malformed;
pub use malformed::no_descriptors;
pub use outbox::Outbox;
pub use relay::{RelayEnd, relay};
pub(crate) use watched::watched;
