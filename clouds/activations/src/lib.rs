//! Activations over HTTP: how a backend whose platform runs containers hands a chunk of calls to a worker, and takes its
//! outcomes as they come.
//!
//! ```text
//! backend                        this crate                            platform, worker (`transport/http`)
//!   | -- Activation -------------> | -- POST /v1/activation ------------> |
//!   |    ServiceRules: where, headers |                                   | 429, 502, 503, 504 ...: `failure.rs`
//!   | <- Event Started ----------- | <- 200, Hello ---------------------- |
//!   | <- Event Logs, Report ------ | <- Logs, Report, Heartbeat --------- |   silence of 45 s is a loss
//!   | <- Answer ------------------ | <- Ended --------------------------- |   an end without it is one, too
//! ```
//!
//! A [`ServiceClient`] has the connections to one service, and runs [`Activation`]s in it. To drop the future of a running
//! activation resets its stream, by which the worker knows that its calls are to stop. What a backend knows of its platform
//! stands in its [`ServiceRules`]: where requests go, which headers they have, and what refusals mean. [`Services`] is all
//! that the backends themselves have in common: one client for each size of a worker, and the requests in flight; [`KeptUse`] is whether anybody uses workers
//! that are kept without requests.
//!
//! An answer is judged in two steps: [`ServiceClient::run`] says what one answer means ([`Answer`](lithops_core::compute::Answer)),
//! and [`Health`](lithops_core::compute::Health) decides by all answers until now how the activation ends.

mod activation;
mod client;
mod connections;
mod connector;
mod failure;
mod kept;
mod rules;
mod services;

pub use activation::{Activation, Limits};
pub use client::ServiceClient;
pub use failure::Refusal;
pub use kept::KeptUse;
pub use rules::{ServiceRules, Target};
pub use services::Services;
