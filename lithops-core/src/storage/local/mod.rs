//! The storage `localhost`: objects as files below a folder.

mod file_storage;
pub(super) mod files;
pub(super) mod folder;
pub(super) mod listing;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
pub(super) mod local;
pub(super) mod tree;

pub use file_storage::FileStorage;
pub use folder::temporary_folder;
pub use local::openness;
