//! The AWS Lambda backend of lithops: a worker is a function instance, which is given one chunk with each request and
//! answers with its outcomes.
//!
//! The function is `lithops-worker`, or the user's program itself. Its name is that of what it consists of, so that two
//! clients that deploy the same deploy once. The program is stored once, and fetched once by each instance. How calls
//! are run inside an instance is not the business of this crate.

mod activation;
mod backend;
mod client;
mod config;
mod deploy;
mod doctor;
mod failure;
mod health;
mod mending;
mod package;
mod policy;

pub use backend::AwsLambdaBackend;
pub use config::AwsLambdaConfig;
pub use policy::{client_policy, role_policy};

/// The backend's one word.
pub const SCHEME: &str = "aws_lambda";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
