//! A fake of AWS Lambda on loopback: it keeps functions, runs each environment as a process of the function's
//! `bootstrap`, and answers as the service does, with its limits and its errors. It checks no signatures, has no
//! roles, no versions and no storage, and does not hold functions to their memory.
//!
//! A [`FakeLambda`] is one account in one region. Its functions are real programs that speak the Runtime API; what
//! they do they do on this machine, in its `/tmp` and with its network.

mod api;
mod counts;
mod environment;
pub mod event_stream;
mod function;
mod lambda;
mod names;
mod settings;
mod shared;

pub use counts::Counts;
pub use lambda::{EnvironmentInfo, FakeLambda};
pub use settings::Settings;
