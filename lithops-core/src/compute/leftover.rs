//! [`Leftover`]: what a platform still has of a client that is gone.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, protocol::Launch, storage::Locator};

/// Something that a platform still runs, or would still start, for a client that may be gone, as
/// [`leftovers`](super::ComputeBackend::leftovers) lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leftover {
    /// The platform's name for it. A listing has each name once.
    pub id: String,
    /// What it is, for people: what kind of thing, how many, of what size.
    pub what: String,
    /// The fleet that it belongs to. Where there is one, its client says in the storage that it lives. `None` where the
    /// backend itself knows that nothing uses it.
    pub fleet: Option<FleetMark>,
    /// Since when it has been there, by the platform's clock; `None` if the platform does not say.
    pub since: Option<SystemTime>,
    /// What it costs, in US dollars for each hour; `None` if the price is not known.
    pub usd_per_hour: Option<f64>,
}

/// The name of a fleet, and in which storage it is to be looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FleetMark {
    /// The name of the fleet.
    pub name: String,
    /// What [`of_storage`](Self::of_storage) gives for the storage of the fleet.
    pub storage: String,
}

impl FleetMark {
    /// The mark of the fleet that a launch document is of.
    #[must_use]
    pub fn of(launch: &Launch) -> Self {
        Self { name: launch.fleet.clone(), storage: Self::of_storage(&launch.storage) }
    }

    /// A short text that is different for each storage, for labels and tags: 16 hexadecimal digits.
    #[must_use]
    pub fn of_storage(locator: &Locator) -> String {
        let Locator { scheme, bucket, region, endpoint, root } = locator;
        let or_none = |part: &Option<String>| part.clone().unwrap_or_default();
        let parts =
            [scheme.clone(), bucket.clone(), or_none(region), or_none(endpoint), or_none(root)].join("\0");
        Digest::of(parts.as_bytes()).to_string()[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storages_that_differ_in_one_part_have_different_marks() {
        let plain = Locator::new("aws_s3", "data");
        let all = [
            plain.clone(),
            Locator::new("aws_s3", "date"),
            plain.clone().with_region("eu-west-1"),
            plain.clone().with_endpoint("eu-west-1").expect("a locator"),
            plain.clone().with_root("eu-west-1"),
        ];
        let marks: std::collections::BTreeSet<_> = all.iter().map(FleetMark::of_storage).collect();
        assert_eq!(marks.len(), all.len(), "{marks:?}");
        assert!(marks.iter().all(|mark| mark.len() == 16));
        assert_eq!(FleetMark::of_storage(&plain), FleetMark::of_storage(&Locator::new("aws_s3", "data")));
    }
}
