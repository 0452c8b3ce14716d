//! A proxy on loopback that makes HTTP fail on purpose: statuses, resets, bodies that are cut short, delays.
//!
//! Path, query and headers are passed on unchanged, so that signatures stay valid: a client signs for the proxy's
//! address, and the server sees that address as its host.

mod body;
mod counts;
mod messages;
mod proxy;
mod rule;

pub use counts::Counts;
pub use messages::Messages;
pub use proxy::FaultProxy;
pub use rule::{Fault, Rule};
