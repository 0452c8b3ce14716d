//! [`Scaled`]: what a platform says of the workers of a fleet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What [`scale`](super::ComputeBackend::scale) answers: the state of a fleet's workers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scaled {
    /// The names of the workers that run.
    pub live: Vec<String>,
    /// How many workers the platform is starting.
    pub coming: usize,
    /// The workers that the platform cannot start for now, with why not.
    pub waiting: Vec<WaitingWorkers>,
    /// The workers that have ended since the last answer, by name. A worker is named once only.
    pub ended: Vec<(String, WorkerEnd)>,
    /// When the platform wants to be asked again at the earliest; `None` leaves that to the caller.
    pub retry_after: Option<Duration>,
    /// What workers that run cost in an hour, in US dollars, by name, where this differs from the price in the
    /// capabilities: a worker that was bought in another way, or in another size.
    #[serde(default)]
    pub hour_usd: Vec<(String, f64)>,
}

impl Scaled {
    /// Workers that run, and nothing else to say.
    #[must_use]
    pub fn live(names: Vec<String>) -> Self {
        Self { live: names, ..Self::default() }
    }
}

/// Workers that a platform cannot start for now: it has no room, no capacity, or a quota is used up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WaitingWorkers {
    /// How many workers wait.
    pub count: usize,
    /// What they wait for, in the platform's own words.
    pub why: String,
    /// Whether waiting is in vain, as for an image that does not exist: the job then ends with these words.
    pub is_hopeless: bool,
}

/// How a worker of a fleet has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkerEnd {
    /// It has left, because there was nothing more for it to do or it was told to.
    Finished,
    /// The platform has ended it, because it took too much memory.
    OutOfMemory,
    /// The platform has taken its machine away.
    Evicted,
    /// Why it ended is unknown, or known in these words only.
    Lost(String),
    /// It cannot serve, and another worker could not either: the job ends. The words say why; when they are empty, what
    /// the worker has stored says it.
    Refused(String),
}
