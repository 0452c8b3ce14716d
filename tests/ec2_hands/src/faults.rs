//! [`Faults`]: what a test wants to go wrong.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is to go wrong from now on. What is left out goes well.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Faults {
    /// How many spot instances there are at most.
    pub(crate) spot: Option<usize>,
    /// How many instances on demand there are at most.
    pub(crate) on_demand: Option<usize>,
    /// The code of the errors of those that there are not.
    pub(crate) code: Option<String>,
    /// How many requests of an action are done and get no answer but 503.
    pub(crate) unanswered: BTreeMap<String, usize>,
    /// Actions that are refused, each with the code.
    pub(crate) refused: BTreeMap<String, String>,
    /// How long instances are pending.
    pub(crate) pending_ms: u64,
    /// How much longer each further instance of a request is pending: EC2 starts only some in a second.
    pub(crate) apart_ms: u64,
    /// For how long after its start EC2 does not know an instance.
    pub(crate) unknown_ms: u64,
    /// The action of S3 that the role of instances may not do.
    pub(crate) s3_refuses: Option<String>,
    /// Each quota of vCPUs.
    pub(crate) quota: Option<f64>,
}

impl Faults {
    /// Whether this request gets no answer.
    pub(crate) fn takes_answer(&mut self, action: &str) -> bool {
        match self.unanswered.get_mut(action) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// How many instances of a market may still start, where this many live.
    pub(crate) fn room(&self, is_spot: bool, live: usize) -> usize {
        let most = if is_spot { self.spot } else { self.on_demand };
        most.map_or(usize::MAX, |most| most.saturating_sub(live))
    }
}
