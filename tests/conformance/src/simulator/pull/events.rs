//! What happens when, and clocks that are wrong.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use lithops_core::board::{BoardAnswer, Request, keys};

use super::{
    super::{Violation, random::Random},
    PullSabotage, PullScenario,
    store::{FASTEST, SLOWEST, SimulatedStore},
};

/// How long other programs change the storage. Without an end the job could not finish.
const TAMPERED_FOR: u64 = 600 * 1_000_000;

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Client(usize),
    Worker(usize),
}

/// What happens.
#[derive(Debug)]
pub(super) enum What {
    /// A client or worker begins to live.
    Begins(Who, String),
    /// A client dies.
    Dies(usize),
    /// The user cancels.
    Cancels,
    /// An operation takes place; its answer, if it is told, comes then.
    Happens(Who, usize, Request, Option<u64>),
    /// An answer comes.
    Answers(Who, usize, BoardAnswer),
    /// A participant wanted to wait until now; the count says which wait it was.
    Wakes(Who, u64),
    /// A call ends in a worker: chunk, epoch, call.
    CallEnds(usize, u64, u64, u64),
    /// The time of a worker that was told to leave is over.
    MustLeave(usize),
}

/// The clock of a participant: true microseconds in, its own time out.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    began: u64,
    rate: u64,
}

impl Clock {
    /// A clock that starts now and is wrong by as much as is possible, or less.
    pub(super) fn new(now: u64, random: &mut Random) -> Self {
        Self { began: now, rate: SLOWEST + random.below(FASTEST - SLOWEST + 1) }
    }

    pub(super) fn read(&self, now: u64) -> Duration {
        Duration::from_micros(now.saturating_sub(self.began) * self.rate / 1000)
    }

    /// The true time at which it will show `time`.
    pub(super) fn when(&self, time: Duration) -> u64 {
        let time =
            u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX / 2000).min(u64::MAX / 2000);
        self.began + (time * 1000).div_ceil(self.rate)
    }

    /// It stands still for so long.
    pub(super) fn freeze(&mut self, time: u64) {
        self.began += time;
    }
}

/// What is common to all participants: the storage, the events to come, what really happened.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: PullScenario,
    pub(super) sabotage: Option<PullSabotage>,
    pub(super) store: SimulatedStore,
    pub(super) random: Random,
    /// Of what others do to the storage.
    random_hand: Random,
    pub(super) now: u64,
    /// How often each call was run in each epoch.
    pub(super) runs: BTreeMap<(u64, u64), u32>,
    pub(super) live: u64,
    pub(super) most_live: u64,
    pub(super) started: usize,
    /// The workers that have ended.
    pub(super) ended: BTreeSet<usize>,
    /// Since when each worker holds no chunk.
    free_since: BTreeMap<usize, u64>,
    /// When each chunk was handed back, by chunk and epoch.
    handed_back: BTreeMap<(u64, u64), u64>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, What>,
    count: u64,
}

impl World {
    pub(super) fn new(scenario: &PullScenario, sabotage: Option<PullSabotage>) -> Self {
        Self {
            scenario: scenario.clone(),
            sabotage,
            store: SimulatedStore::new(
                &scenario.lease_config,
                scenario.fails_late > 0,
                scenario.is_tampered(),
            ),
            random: Random::new(scenario.seed.rotate_left(23)),
            random_hand: Random::new(scenario.seed.rotate_left(5)),
            now: 0,
            runs: BTreeMap::new(),
            live: 0,
            most_live: 0,
            started: 0,
            ended: BTreeSet::new(),
            free_since: BTreeMap::new(),
            handed_back: BTreeMap::new(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn at(&mut self, time: u64, what: What) {
        self.count += 1;
        self.queue.push(Reverse((time.max(self.now), self.count)));
        self.events.insert(self.count, what);
    }

    pub(super) fn after(&mut self, time: Duration, what: What) {
        self.at(self.now + u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2), what);
    }

    /// The next event; it is then that time.
    pub(super) fn next(&mut self) -> Option<What> {
        let Reverse((time, count)) = self.queue.pop()?;
        self.now = time;
        self.events.remove(&count)
    }

    /// Sends an operation on its way.
    pub(super) fn ask(&mut self, who: Who, lane: usize, mut request: Request) {
        let by_worker = matches!(who, Who::Worker(_));
        let lease = self.scenario.lease_config.lease.as_micros() as u64;
        let slow = self.random.happens(self.scenario.slow_storage);
        let takes = if slow { self.random.below(2 * lease) } else { 2000 + self.random.below(40_000) };
        let told = self.now + takes;
        let bent = self.sabotage.and_then(|sabotage| sabotage.bend(&mut request, by_worker, self.count));
        if let Some(answer) = bent {
            return self.at(told, What::Answers(who, lane, answer));
        }
        let PullScenario { fails, fails_after, fails_late, .. } = self.scenario;
        let luck = self.random.below(1000);
        let happens = self.now + takes / 2;
        if luck >= fails + fails_after + fails_late {
            return self.at(happens, What::Happens(who, lane, request, Some(told)));
        }
        self.at(told, What::Answers(who, lane, BoardAnswer::Failed));
        if luck < fails_after {
            self.at(happens, What::Happens(who, lane, request, None));
        } else if luck < fails_after + fails_late {
            let late = told + self.random.below(2 * lease);
            self.at(late, What::Happens(who, lane, request, None));
        }
    }

    /// Whether the storage takes what is written: at times it takes beats alone.
    fn takes(&self, request: &Request) -> bool {
        let Some((from, lasts)) = self.scenario.takes_no_writes else { return true };
        let now = Duration::from_micros(self.now);
        let closed = (from..from + lasts).contains(&now);
        !closed || !matches!(request, Request::Put { key, .. } if !key.starts_with(keys::BEATS))
    }

    /// Lets another program change what is stored.
    fn tamper(&mut self) {
        if self.now > TAMPERED_FOR {
            return;
        }
        if self.random_hand.happens(self.scenario.vanishes) {
            self.store.vanish(self.random_hand.below(u64::MAX));
        }
        if self.random_hand.happens(self.scenario.foreign) {
            let chunk = self.random_hand.below(self.scenario.chunks().count() + 1);
            let epochs = [1, 2, 3, 4711, keys::LAST_EPOCH, keys::LAST_EPOCH + 1, 999_999_999_999, u64::MAX];
            let epoch = epochs[self.random_hand.below(epochs.len() as u64) as usize];
            let name: &[u8] = if self.random_hand.happens(500) { b"nobody" } else { b"\xff\0/../x" };
            self.store.put_foreign(keys::claim(chunk, epoch), name);
        }
    }

    /// Whether a chunk was handed back in this epoch.
    pub(super) fn is_handed_back(&self, chunk: u64, epoch: u64) -> bool {
        self.handed_back.contains_key(&(chunk, epoch))
    }

    /// Notes when chunks are handed back and claimed again: a worker that is free claims them before a lease could
    /// have expired.
    fn note(&mut self, who: Who, request: &Request) {
        let (Who::Worker(worker), Request::Put { key, .. }) = (who, request) else { return };
        if let Some(left) = keys::read_left(key) {
            self.handed_back.entry(left).or_insert(self.now);
        }
        if keys::read_commit(key).is_some() {
            self.free_since.insert(worker, self.now);
        }
        let Some((chunk, epoch)) = keys::read_claim(key) else { return };
        let free_since = self.free_since.insert(worker, u64::MAX).unwrap_or(0);
        let Some(left) = self.handed_back.get(&(chunk, epoch.wrapping_sub(1))) else { return };
        let waited = self.now.saturating_sub((*left).max(free_since));
        let lease = u64::try_from(self.scenario.lease_config.lease.as_micros()).unwrap_or(u64::MAX);
        if self.scenario.is_orderly() && waited > lease * 3 / 4 {
            let what = format!("`{key}`: handed back {waited} us before, and a worker was free");
            self.store.violation.get_or_insert((Violation::WaitedForLease, what));
        }
    }

    /// Notes that a worker begins to live.
    pub(super) fn begins(&mut self, worker: usize) {
        self.free_since.insert(worker, self.now);
    }

    /// Lets an operation take place.
    pub(super) fn happens(&mut self, who: Who, lane: usize, request: Request, told: Option<u64>) {
        let answer = if self.takes(&request) {
            self.store.operate(request.clone(), self.now)
        } else {
            BoardAnswer::Failed
        };
        if answer == BoardAnswer::Stored {
            self.note(who, &request);
        }
        self.tamper();
        let answer = match self.sabotage {
            Some(sabotage) => sabotage.twist(&request, answer),
            None => answer,
        };
        if let Some(told) = told {
            self.at(told, What::Answers(who, lane, answer));
        }
    }
}
