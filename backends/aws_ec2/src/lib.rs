//! The AWS EC2 backend of lithops: workers are virtual machines that fetch their work from the storage, and end
//! themselves.
//!
//! ```text
//!  scale ──> one CreateFleet per wave of instances ──> user data ──> workers of the fleet ──> the board, in S3
//!    ▲                                                     │
//!    └── what DescribeInstances says of them               └── shutdown ends the instance, and its bill
//! ```
//!
//! No instance is a master, none is reached from outside, and none has an image of ours: the user data fetches the program
//! by its digest from the bucket of the jobs, and the program is the worker.

mod api;
mod backend;
mod by_hand;
mod config;
mod console;
mod doctor;
mod fleet;
mod image;
mod instance;
mod leftovers;
mod policy;
mod program;
mod template;
mod user_data;
mod waves;

pub use backend::AwsEc2Backend;

/// The backend's one word: what `lithops.backend` and the section of the configuration are called.
pub const SCHEME: &str = "aws_ec2";

lithops_core::inventory::submit! { backend::DESCRIPTOR }
