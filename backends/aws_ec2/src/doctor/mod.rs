//! The checks of `lithops doctor`.

mod check;
mod findings;
mod fleets;
mod live;
mod market;
mod network;
mod rights;

pub(crate) use check::check;
pub(crate) use live::check_live;
