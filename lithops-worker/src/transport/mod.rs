//! Transports: how calls come to the pool and reports go back.

#[cfg(feature = "http")]
mod http;
#[cfg(feature = "lambda")]
mod lambda;
mod listen;
mod pull;
#[cfg(any(feature = "http", feature = "lambda"))]
mod request;
mod secrets_file;
mod stdio;

#[cfg(feature = "http")]
pub use http::{http, is_http};
#[cfg(feature = "lambda")]
pub use lambda::{is_in_lambda, lambda};
pub use listen::{is_listening, listen};
pub use pull::{check, is_launched, is_to_check, launched};
pub use stdio::stdio;
