//! The trials, by what of a backend they are about.

pub(super) mod alone;
pub(super) mod calls;
pub(super) mod causes;
pub(super) mod control;
pub(super) mod environment;
pub(super) mod fed;
pub(super) mod fleets;
pub(super) mod granularity;
pub(super) mod lasting;
pub(super) mod limits;
pub(super) mod outcomes;
pub(super) mod standing;
