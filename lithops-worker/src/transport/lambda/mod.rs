//! The `lambda` transport: AWS Lambda hands over one chunk at a time, and takes back the outcomes.
//!
//! A process asks Lambda for a request (`next`), answers it, and asks for the next. What a request and its answer are
//! stands in `request/`.

mod serve;

pub use serve::{is_in_lambda, lambda};
