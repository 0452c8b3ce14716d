//! [`Plugin`]: a library that was loaded.

use std::path::PathBuf;

use super::Vtable;
use crate::compute::BackendDescriptor;

/// A library that was loaded. It is never unloaded: its threads and its statics stay.
#[derive(Debug)]
pub struct Plugin {
    /// The file.
    pub path: PathBuf,
    /// What the backend is.
    pub descriptor: &'static BackendDescriptor,
    pub(super) vtable: Vtable,
}
