//! Workers that are fed: each pod listens for its client, which connects to it through the API server and feeds it.

mod connect;
mod fed_fleet;
mod members;

pub(crate) use fed_fleet::{FedFleet, FedStart};
