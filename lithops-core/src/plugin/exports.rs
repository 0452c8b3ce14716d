//! [`Exports`]: a backend that a library exports.

use crate::compute::BackendDescriptor;

/// A backend that a library exports.
pub trait Exports: 'static {
    /// It.
    fn descriptor() -> &'static BackendDescriptor;
}
