//! Backends that are loaded at run time, over a C interface: the layouts of Rust's own types may differ
//! between two builds.
//!
//! ```text
//! host program                                        plugin, a library with everything it needs in it
//!   Registry ── Plugin ── Vtable of C functions ────────> exports of one backend (`export_backend!`)
//!     │           describe, open, call, next_event,          │ its own runtime; panics end here
//!     │           feed, cancel, drop: bytes in, bytes out    v
//!     └─ Remote: a ComputeBackend <──── callbacks ─────── ComputeBackend
//! ```
//!
//! A plugin exports one symbol, [`LITHOPS_PLUGIN`](SYMBOL), a [`Header`] that is checked before anything else
//! is used. A plugin is loaded only when it is named, and never unloaded. Calls and reports cross as the
//! frames of the protocol, everything else as MessagePack. The ABI has major version 0: any version of the
//! core may change it, and host and plugin must be of the same version.

mod abi;
mod export;
mod exports;
mod forward;
mod guest;
#[cfg(feature = "plugins")]
mod load;
#[cfg(feature = "plugins")]
mod loaded;
#[cfg(feature = "plugins")]
mod remote;
#[cfg(all(test, feature = "plugins"))]
mod tests;
mod wire;
mod wire_event;

pub use abi::{ABI, Done, Header, Log, MAGIC, PREFIX, PluginAnswer, PluginStatus, SYMBOL, Text, Vtable};
pub use exports::Exports;
#[cfg(feature = "plugins")]
pub use load::{load, loaded};
#[cfg(feature = "plugins")]
pub use loaded::Plugin;
