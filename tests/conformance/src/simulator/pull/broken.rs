//! [`PullSabotage`]: a board broken on purpose. The simulator that cannot tell it from a sound one proves nothing.

use std::time::Duration;

use lithops_core::board::{BoardAnswer, LeaseConfig, Request};

/// How the board is broken: at its edge, where it speaks with the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PullSabotage {
    /// Workers commit by overwriting.
    CommitsByOverwrite,
    /// Workers take every beat for one that has moved, for ever.
    NeverReclaims,
    /// Workers do not wait for a lease to expire.
    ReclaimsAtOnce,
    /// Workers take a claim that exists for their own.
    TakesEveryClaim,
    /// Reports are not stored, and said to be.
    LosesReports,
    /// Clients take what they could not commit as cancelled for committed.
    PretendsToCancel,
    /// Workers hand a chunk back at once when they are told to leave, and go on with its calls.
    LeavesAndRunsOn,
    /// Workers do not see that a chunk was handed back.
    IgnoresHandBack,
}

impl PullSabotage {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CommitsByOverwrite,
        Self::NeverReclaims,
        Self::ReclaimsAtOnce,
        Self::TakesEveryClaim,
        Self::LosesReports,
        Self::PretendsToCancel,
        Self::LeavesAndRunsOn,
        Self::IgnoresHandBack,
    ];

    /// The terms that broken workers keep.
    pub(super) fn lease_config(self, lease_config: LeaseConfig) -> LeaseConfig {
        let lease =
            if self == Self::ReclaimsAtOnce { Duration::from_millis(500) } else { lease_config.lease };
        LeaseConfig { lease, ..lease_config }
    }

    /// What becomes of a request, and the answer where the storage is not asked. `count` is another each time.
    pub(super) fn bend(self, request: &mut Request, by_worker: bool, count: u64) -> Option<BoardAnswer> {
        match (self, request) {
            (Self::CommitsByOverwrite, Request::Put { key, if_absent, .. }) => {
                *if_absent &= !(by_worker && key.starts_with("commit/"));
                None
            }
            (Self::NeverReclaims, Request::Get { key }) if by_worker && key.starts_with("beat/") => {
                Some(BoardAnswer::Found(count.to_string().into()))
            }
            (Self::LosesReports, Request::Put { key, .. }) if key.starts_with("outcomes/") => {
                Some(BoardAnswer::Stored)
            }
            (Self::PretendsToCancel, Request::Put { key, .. })
                if !by_worker && key.starts_with("commit/") =>
            {
                Some(BoardAnswer::Stored)
            }
            _ => None,
        }
    }

    /// What becomes of an answer.
    pub(super) fn twist(self, request: &Request, answer: BoardAnswer) -> BoardAnswer {
        match (request, answer) {
            (Request::List { prefix }, BoardAnswer::Listed(mut keys))
                if self == Self::IgnoresHandBack && prefix.starts_with("claims/") =>
            {
                keys.retain(|key| !key.ends_with("-left"));
                BoardAnswer::Listed(keys)
            }
            (Request::Put { key, .. }, answer)
                if self == Self::TakesEveryClaim
                    && key.starts_with("claims/")
                    && answer == BoardAnswer::Exists =>
            {
                BoardAnswer::Stored
            }
            (_, answer) => answer,
        }
    }
}
