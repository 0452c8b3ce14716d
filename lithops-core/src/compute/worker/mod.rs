//! Shared by backends that can speak with their live workers: the channel, and the process at its end.

mod channel;
mod process;

pub use channel::{HowItEnded, WorkerChannel};
pub use process::WorkerProcess;
