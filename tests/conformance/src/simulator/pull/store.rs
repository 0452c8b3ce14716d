//! The simulated storage: it keeps objects, and notes what no participant may do to a board.

use std::{collections::BTreeMap, time::Duration};

use lithops_core::{
    board::{BoardAnswer, LeaseConfig, Request, keys},
    bytes::Bytes,
};

use super::super::Violation;

/// How much too fast a clock may be, in thousandths.
pub(super) const FASTEST: u64 = 1500;

/// How much too slow a clock may be, in thousandths.
pub(super) const SLOWEST: u64 = 700;

/// When a worker's beat has last moved, and how long it has stood still at most.
#[derive(Debug, Clone, Copy, Default)]
struct Silence {
    last: u64,
    longest: u64,
}

/// Objects by key. Operations happen at one moment each.
#[derive(Debug)]
pub(super) struct SimulatedStore {
    objects: BTreeMap<String, Bytes>,
    silence: BTreeMap<String, Silence>,
    /// The shortest time, in true microseconds, in which a lease can expire.
    shortest_lease: u64,
    /// Whether other programs change what is here, so that it cannot be told whether a chunk was taken too early.
    tampered: bool,
    pub(super) violation: Option<(Violation, String)>,
}

impl SimulatedStore {
    /// An empty store; where effects may land late, an old beat can take the place of a newer one before anybody has
    /// seen that, so that a lease seems to have begun up to a beat earlier.
    pub(super) fn new(lease_config: &LeaseConfig, effects_land_late: bool, tampered: bool) -> Self {
        let lease = lease_config.lease.saturating_sub(if effects_land_late {
            lease_config.beat * 2
        } else {
            Duration::ZERO
        });
        let lease = u64::try_from(lease.as_micros()).unwrap_or(u64::MAX);
        Self {
            objects: BTreeMap::new(),
            silence: BTreeMap::new(),
            shortest_lease: lease / FASTEST * 1000,
            tampered,
            violation: None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Bytes> {
        self.objects.get(key)
    }

    /// How many epochs a chunk was claimed in, but for those in which it was handed back.
    pub(super) fn epochs(&self, chunk: u64) -> u64 {
        let of = keys::claims(chunk);
        let claims = self.keys(&of).filter_map(|key| keys::read_claim(key));
        claims.filter(|(_, epoch)| !self.objects.contains_key(&keys::left(chunk, *epoch))).count() as u64
    }

    pub(super) fn operate(&mut self, request: Request, now: u64) -> BoardAnswer {
        match request {
            Request::Get { key } => {
                self.objects.get(&key).cloned().map_or(BoardAnswer::Absent, BoardAnswer::Found)
            }
            Request::List { prefix } => BoardAnswer::Listed(self.keys(&prefix).cloned().collect()),
            Request::Put { key, if_absent: true, .. } if self.objects.contains_key(&key) => {
                BoardAnswer::Exists
            }
            Request::Put { key, bytes, .. } => {
                self.check(&key, &bytes, now);
                self.objects.insert(key, bytes);
                BoardAnswer::Stored
            }
        }
    }

    /// Takes away a claim, a beat or a report, which one `choice` decides.
    pub(super) fn vanish(&mut self, choice: u64) {
        let folder = ["claims/", keys::BEATS, "outcomes/"][(choice % 3) as usize];
        let count = self.keys(folder).count() as u64;
        let key = self.keys(folder).nth((choice / 3 % count.max(1)) as usize).cloned();
        key.into_iter().for_each(|key| drop(self.objects.remove(&key)));
    }

    /// Puts a claim that no participant has made, unless there is one.
    pub(super) fn put_foreign(&mut self, claim: String, content: &'static [u8]) {
        self.objects.entry(claim).or_insert_with(|| Bytes::from(content));
    }

    fn keys(&self, prefix: &str) -> impl Iterator<Item = &String> {
        self.objects.range(prefix.to_owned()..).map(|(key, _)| key).take_while(move |key| {
            // The range begins at the prefix, and what starts with it follows without a gap.
            key.starts_with(prefix)
        })
    }

    fn check(&mut self, key: &str, bytes: &Bytes, now: u64) {
        let before = self.objects.get(key);
        if keys::read_claim(key).is_some() {
            // A beat that is missing is one that stands still.
            let holder = String::from_utf8_lossy(bytes).into_owned();
            self.silence.entry(holder).or_insert(Silence { last: now, longest: 0 });
        }
        if let Some(worker) = keys::worker_of_beat(key)
            && before != Some(bytes)
        {
            let silence = self.silence.entry(worker.to_owned()).or_insert(Silence { last: now, longest: 0 });
            *silence = Silence { last: now, longest: silence.longest.max(now - silence.last) };
        } else if key.starts_with("commit/") && before.is_some_and(|before| before != bytes) {
            self.violation.get_or_insert((Violation::CommittedTwice, format!("`{key}` was overwritten")));
        } else if let Some((chunk, epoch)) = keys::read_claim(key)
            && epoch > 1
            && !self.objects.contains_key(&keys::left(chunk, epoch - 1))
            && !self.tampered
        {
            let holder = self.objects.get(&keys::claim(chunk, epoch - 1));
            let holder = holder.map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
            let silence = self.silence.get(&holder).copied().unwrap_or_default();
            let longest = silence.longest.max(now - silence.last);
            if longest < self.shortest_lease {
                let what = format!("`{key}`: `{holder}` was silent for {longest} us at most");
                self.violation.get_or_insert((Violation::TakenTooEarly, what));
            }
        }
    }
}
