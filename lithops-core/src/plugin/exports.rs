//! [`Exports`]: the backend that a library exports.

use crate::compute::BackendDescriptor;

/// Implemented by [`export_backend!`](crate::export_backend) for the backend of a library.
pub trait Exports: 'static {
    /// The descriptor of the backend.
    fn descriptor() -> &'static BackendDescriptor;
}
