//! The AWS Lambda backend of lithops. It plans and prices jobs: memory and the vCPUs it buys, limits, billing. It does
//! not start workers yet; a job that is started on it is refused with a sentence.

mod backend;
mod config;

pub use backend::AwsLambdaBackend;
pub use config::AwsLambdaConfig;

/// The backend's one word.
pub const SCHEME: &str = "aws_lambda";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
