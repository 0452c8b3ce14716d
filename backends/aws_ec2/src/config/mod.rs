//! The section `aws_ec2`: its keys, what they mean, and what instances cost by them.

pub(crate) mod keys;
pub(crate) mod prices;
mod section;
pub(crate) mod volumes;

pub(crate) use section::{Ec2Config, Spot, class};
