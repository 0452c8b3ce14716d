//! What backends share: the channel to a worker that they can speak with while it lives, the process at its end, and the
//! request to a worker that answers once.

mod channel;
mod event;
mod health;
mod in_flight;
mod process;
mod processes;
mod request;

pub use channel::{HowItEnded, WorkerChannel};
pub use health::{Answer, Health, OpenRequest};
pub use in_flight::{EventSender, InFlight};
pub use process::WorkerProcess;
pub use processes::WorkerProcesses;
pub use request::{encode_request, read_answer};
