//! What backends share: the channel to a worker that they can speak with while it lives, the process at its end, and the
//! request to a worker that answers once.

mod channel;
mod event;
mod process;
mod processes;
mod request;

pub use channel::{HowItEnded, WorkerChannel};
pub use process::WorkerProcess;
pub use processes::WorkerProcesses;
pub use request::{encode_request, read_answer};
