//! [`Found`]: an object that a source stands for.

use super::{compression::Packing, location::Place};

/// An object, with what is known of it before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) size: u64,
    pub(crate) mark: Option<String>,
}

impl Found {
    pub(crate) fn packing(&self) -> Packing {
        Packing::of(match &self.place {
            Place::Object { key, .. } => key,
            Place::Path(path) => path.to_str().unwrap_or_default(),
            Place::Url { url, .. } => url,
        })
    }

    /// Whether any part of it can be read alone.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.packing() == Packing::None && !matches!(self.place, Place::Url { ranges: false, .. })
    }
}
