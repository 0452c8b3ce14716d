//! [`Plugin`]: a library that was loaded.

use std::path::PathBuf;

use super::Vtable;
use crate::compute::BackendDescriptor;

/// A library that was loaded and checked. It is never unloaded: its threads and its statics stay.
#[derive(Debug)]
pub struct Plugin {
    /// The path of the library.
    pub path: PathBuf,
    /// The descriptor of the plugin's backend.
    pub descriptor: &'static BackendDescriptor,
    pub(super) vtable: Vtable,
}
