//! The Query API of AWS: a request is a form, an answer is XML. For services whose SDK would be too large: that of EC2
//! needs more than 8 GB of memory to compile.

mod error;
mod form;
mod service;
mod signing;

pub use error::ServiceError;
pub use form::Form;
pub use service::Service;
