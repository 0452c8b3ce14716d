//! EC2 itself: its actions, what they answer, and what its errors mean.

pub(crate) mod answers;
pub(crate) mod ec2;
pub(crate) mod failure;
pub(crate) mod time;
