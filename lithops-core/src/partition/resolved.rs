//! [`ResolvedObject`]: an object that was found for a data source.

use super::{compression::Compression, location::ObjectLocation};

/// An object that was found: its place, its size in bytes, and a mark that changes with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedObject {
    pub(crate) place: ObjectLocation,
    pub(crate) size: u64,
    pub(crate) mark: Option<String>,
}

impl ResolvedObject {
    pub(crate) fn compression(&self) -> Compression {
        Compression::of(match &self.place {
            ObjectLocation::Object { key, .. } => key,
            ObjectLocation::Path(path) => path.to_str().unwrap_or_default(),
            ObjectLocation::Url { url, .. } => url,
        })
    }

    /// Whether the object can be cut into parts: any range of it can be read alone, and has a meaning alone.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.compression() == Compression::None
            && !matches!(self.place, ObjectLocation::Url { ranges: false, .. })
    }
}
