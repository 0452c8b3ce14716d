//! The `http` transport: a platform hands over one HTTP request at a time, and the answer is streamed.
//!
//! ```text
//! GET  /v1/alive                         200, which worker this is
//! POST /v1/activation  Hello, Running,   200 Hello, then Logs, Report, StoredReport and Heartbeat as they come,
//!                      Job, Calls..          at last Ended
//!                                        429 another activation runs   503 this worker is about to leave
//!                                        400 or 409 the request does not fit this worker, with words
//! ```
//!
//! It speaks HTTP/1.1 and HTTP/2 without TLS, which is the platform's business. Only `POST` begins calls: proxies send
//! a `GET` again when its connection breaks. One activation at a time is this worker's own rule (`turns.rs`): after a
//! timeout, or when a client has gone, platforms let the next request in beside the one that runs. When the connection
//! of an activation is closed its calls are stopped. The platform may append words of its own to an answer that it cuts
//! off, so that only the frame `Ended` is the end of an answer.

mod answer;
mod serve;
mod turns;

pub use serve::{http, is_http};
