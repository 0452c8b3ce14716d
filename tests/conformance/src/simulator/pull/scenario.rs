//! [`PullScenario`]: what a seed decides before the run.

use std::time::Duration;

use lithops_core::board::{Chunks, LeaseConfig};

use super::super::random::Random;

/// What a seed decides: the job, the fleet, the odds of every fault. Odds are per thousand, unless they say otherwise.
#[derive(Debug, Clone)]
pub struct PullScenario {
    /// The seed.
    pub seed: u64,
    /// How many calls.
    pub calls: u64,
    /// Calls to a chunk.
    pub chunksize: u64,
    /// Workers at once.
    pub max_workers: u64,
    /// Calls at once in a worker.
    pub worker_processes: usize,
    /// What the participants agree on.
    pub lease_config: LeaseConfig,
    /// An operation fails and has not happened.
    pub fails: u64,
    /// An operation fails and has happened.
    pub fails_after: u64,
    /// An operation fails and happens later.
    pub fails_late: u64,
    /// An operation takes up to twice the lease.
    pub slow_storage: u64,
    /// A worker never starts.
    pub never_starts: u64,
    /// A worker dies when a call ends.
    pub dies_at_call: u64,
    /// A worker dies when it has sent an operation.
    pub dies_at_operation: u64,
    /// A worker is told to leave when a call ends, with some time for the calls that run.
    pub told_to_leave: u64,
    /// A worker is paused beyond its lease when something happens to it; half of them do not see it on their clock.
    pub pauses: u64,
    /// A worker is two hundred times slower than the others.
    pub slow: u64,
    /// A call takes longer than the lease.
    pub long_calls: u64,
    /// A call fails.
    pub failing: u64,
    /// A call kills each worker it runs in; per ten thousand.
    pub poisonous: u64,
    /// When the job is cancelled.
    pub cancelled_after: Option<Duration>,
    /// When the client dies, and for how long there is none.
    pub client_dies: Option<(Duration, Duration)>,
    /// When a second client comes to stand beside the first.
    pub second_client: Option<Duration>,
    /// Another program takes an object away when an operation has happened: a claim, a beat or a report.
    pub vanishes: u64,
    /// Another program puts a claim of no worker, for a chunk and an epoch that may be absurd.
    pub foreign: u64,
    /// When the storage begins to take nothing but beats, and for how long.
    pub takes_no_writes: Option<(Duration, Duration)>,
}

impl PullScenario {
    /// What a seed decides.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x70_75_6c_6c);
        // Every fourth run has no faults but clocks that are wrong, and must be perfect.
        let faulty = !seed.is_multiple_of(4);
        let mut odds = |most: u64| if faulty && random.happens(500) { random.below(most) } else { 0 };
        let (fails, fails_after, fails_late, slow_storage) = (odds(80), odds(80), odds(40), odds(25));
        let (never_starts, dies_at_call, dies_at_operation) = (odds(200), odds(50), odds(15));
        let (pauses, slow, long_calls, poisonous) = (odds(12), odds(200), odds(40), odds(400));
        let mut sometimes = |permille: u64, most: u64| {
            let when = Duration::from_millis(random.below(most));
            (faulty && random.happens(permille)).then_some(when)
        };
        let (cancelled_after, second_client) = (sometimes(120, 20_000), sometimes(120, 20_000));
        let client_dies = sometimes(150, 20_000).map(|when| (when, Duration::from_secs(random.below(120))));
        let many = if random.happens(25) { 1600 } else { 160 };
        Self {
            seed,
            calls: 1 + random.below(many),
            chunksize: if many > 1000 { 1 } else { 1 + random.below(16) },
            max_workers: 1 + random.below(10),
            worker_processes: 1 + random.below(4) as usize,
            lease_config: LeaseConfig {
                lease: Duration::from_secs(12),
                beat: Duration::from_secs(3),
                look: Duration::from_secs(1),
                patience: Duration::from_secs(20 + random.below(100)),
                losses: 1 + u32::try_from(random.below(3)).unwrap_or(0),
                ..LeaseConfig::default()
            },
            fails,
            fails_after,
            fails_late,
            slow_storage,
            never_starts,
            dies_at_call,
            dies_at_operation,
            pauses,
            slow,
            long_calls: if faulty { long_calls } else { random.below(20) },
            failing: if random.happens(300) { random.below(200) } else { 0 },
            poisonous,
            cancelled_after,
            client_dies,
            second_client,
            vanishes: 0,
            foreign: 0,
            takes_no_writes: None,
            told_to_leave: 0,
        }
        .with_a_hand_in_the_storage(faulty, &mut random)
        .with_notices(&mut random)
    }

    /// Decided last, so that the other faults of a seed are what they are without these.
    fn with_a_hand_in_the_storage(self, faulty: bool, random: &mut Random) -> Self {
        if !faulty {
            return self;
        }
        let mut odds =
            |permille: u64, most: u64| if random.happens(permille) { random.below(most) } else { 0 };
        let (vanishes, foreign) = (odds(250, 30), odds(150, 10));
        let takes_no_writes = random.happens(150).then(|| {
            (Duration::from_millis(random.below(20_000)), Duration::from_millis(random.below(60_000)))
        });
        Self { vanishes, foreign, takes_no_writes, ..self }
    }

    /// Whether workers are told to leave, which goes together with every other fault and with none.
    fn with_notices(self, random: &mut Random) -> Self {
        let told_to_leave = if random.happens(400) { 1 + random.below(150) } else { 0 };
        Self { told_to_leave, ..self }
    }

    /// The calls in chunks.
    #[must_use]
    pub fn chunks(&self) -> Chunks {
        Chunks::new(self.calls, self.chunksize)
    }

    /// Whether a call fails.
    #[must_use]
    pub fn is_failing(&self, call: u64) -> bool {
        let mut random = Random::new(self.seed ^ call.wrapping_mul(0x5851_f42d_4c95_7f2d));
        random.happens(self.failing)
    }

    /// Whether a call kills its workers.
    #[must_use]
    pub fn is_poisonous(&self, call: u64) -> bool {
        let mut random = Random::new(!self.seed ^ call.wrapping_mul(0x2545_f491_4f6c_dd1d));
        random.below(10_000) < self.poisonous
    }

    /// Whether a worker may seem to be gone that is not.
    #[must_use]
    pub fn has_silence(&self) -> bool {
        self.pauses + self.slow_storage > 0
    }

    /// Whether another program changes what is on the board: then calls may be run twice in an epoch, and chunks taken whose
    /// holders live.
    #[must_use]
    pub fn is_tampered(&self) -> bool {
        self.vanishes + self.foreign > 0
    }

    /// Whether a chunk may be lost for another reason than a poisonous call.
    #[must_use]
    pub fn has_bad_luck(&self) -> bool {
        self.has_silence() || self.is_tampered() || self.dies_at_call + self.dies_at_operation > 0
    }

    /// Whether nothing goes wrong at all, so that each call is run exactly once.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.is_orderly() && self.told_to_leave == 0
    }

    /// Whether nothing goes wrong but that workers are told to leave.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        let storage = self.fails + self.fails_after + self.fails_late;
        !self.has_bad_luck()
            && storage + self.poisonous + self.never_starts == 0
            && self.takes_no_writes.is_none()
            && (self.cancelled_after, self.client_dies, self.second_client) == (None, None, None)
    }
}
