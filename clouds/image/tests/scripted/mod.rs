//! A server on loopback that answers as the test says.

mod server;

pub(crate) use server::{Answer, Asked, Server};
