//! Where a worker that only tries whether it could serve stores what it has found.

use crate::storage::own_keys::FLEETS;

/// The folder of what the workers of a fleet have found, by name.
#[must_use]
pub fn checked_prefix(fleet: &str) -> String {
    format!("{FLEETS}{fleet}/checked/")
}
