//! The `lambda` door: AWS Lambda hands over one chunk at a time, and takes back the outcomes.
//!
//! ```text
//! Lambda                                   this process                      pool
//!   | <- next ------------------------------- |                                |
//!   | -- Envelope: the program, job, calls -> | -- the program, if it is new   |
//!   |                                         | -- Job, Deadline, Calls -----> |
//!   |                                         | <-------------- Logs, Report - |
//!   | <- Envelope, or a stream of frames ---- | -- Forget -------------------> |
//! ```
//!
//! Between two activations the platform stops the whole sandbox, for minutes or for ever. The pool and its sub-workers
//! stay as they are, warm; nothing waits for a time while no call runs.

mod activation;
mod answer;
mod environment;
mod serve;

pub use serve::{is_in_lambda, lambda};
