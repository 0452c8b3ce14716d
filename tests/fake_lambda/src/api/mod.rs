//! What clients speak to.

mod answer;
mod error;
mod functions;
mod invoke;
mod route;
mod serve;
mod streaming;

pub(crate) use error::ApiError;
pub(crate) use serve::serve;
