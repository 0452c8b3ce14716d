//! [`ResolvedObject`]: an object that a source stands for.

use super::{compression::Compression, location::ObjectLocation};

/// An object, with what is known of it before it is read.
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

    /// Whether any part of it can be read alone.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.compression() == Compression::None
            && !matches!(self.place, ObjectLocation::Url { ranges: false, .. })
    }
}
