//! What backends share whose workers they can speak with while they live: the channel, and the process at its
//! end.

mod channel;
mod process;

pub use channel::{HowItEnded, WorkerChannel};
pub use process::WorkerProcess;
