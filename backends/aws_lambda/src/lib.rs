//! The AWS Lambda backend of lithops: a worker is a function instance, which is given one chunk with each request and
//! answers with its outcomes.
//!
//! The function is `lithops-worker`, or the user's program itself. Its name is made of what it consists of, so that two
//! clients that deploy the same function deploy it once. The program is stored once, and fetched once by each instance.
//! How an instance runs calls is a matter of `lithops-worker`.

mod activation;
mod backend;
mod client;
mod config;
mod deploy;
mod doctor;
mod failure;
mod mending;
mod package;
mod policy;

pub use backend::AwsLambdaBackend;
pub use config::AwsLambdaConfig;
pub use policy::{client_policy, role_policy};

/// The backend's name: its scheme, its feature and its section of the configuration.
pub const SCHEME: &str = "aws_lambda";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
