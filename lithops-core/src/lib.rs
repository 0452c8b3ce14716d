//! The core of Lithops: functions, planner, tracker, protocol, board, journal, storage and configuration.
//!
//! This crate contains no cloud SDK and no command line. Programs use the `lithops` crate, which
//! re-exports what they need. Backends depend on this crate alone.

pub mod address;
#[cfg(feature = "artifacts")]
pub mod artifact;
pub mod board;
pub mod bytes;
pub mod compute;
pub mod config;
pub mod digest;
pub mod error;
pub mod executor;
pub mod fleet;
pub mod fork;
pub mod function;
pub mod id;
mod in_seconds;
pub mod journal;
pub mod memory;
pub mod nesting;
pub mod partition;
pub mod plan;
pub mod plugin;
pub mod process;
pub mod protocol;
pub mod registry;
pub mod regular;
pub mod runtime;
pub mod storage;
mod threads;
pub mod tracker;
pub mod value;

pub use inventory;
