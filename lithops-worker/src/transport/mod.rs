//! Transports: how calls come to the pool and reports go back.

#[cfg(feature = "lambda")]
mod lambda;
mod pull;
#[cfg(feature = "lambda")]
mod request;
mod stdio;

#[cfg(feature = "lambda")]
pub use lambda::{is_in_lambda, lambda};
pub use pull::{is_launched, launched};
pub use stdio::stdio;
