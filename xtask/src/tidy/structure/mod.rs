//! The rules about how the code hangs together: which module imports which, and what types are called.

mod imports;

pub(super) mod circles;
pub(super) mod layers;
pub(super) mod types;
