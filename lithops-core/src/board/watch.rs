//! [`ClaimWatch`]: what a worker does while every chunk is claimed: it waits until the lease of a
//! holder expires.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{BoardAnswer, LeaseConfig, Request, chunk_map::ChunkMap, keys, liveness::BeatObserver};
use crate::bytes::Bytes;

/// The number of chunks that are watched at once. Chunks whose holders live make room for others, so that
/// every claim is checked in the end, while the cost of a round does not depend on the number of claims.
const MOST: usize = 16;

/// A holder is suspected after this part of a heartbeat interval without a change: a beat and its reading are seen two
/// intervals apart at most.
const SUSPECT_AFTER: (u32, u32) = (5, 2);

/// The next step of the watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this request.
    Ask(Request),
    /// The round is over. The next one begins at this time.
    Rest(Duration),
    /// The holder of this chunk is gone: claim the chunk at this epoch.
    Claim(u64, u64),
    /// Every chunk is committed.
    Finished,
}

/// The request that is awaited, with its page, chunk or worker.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The marks of finished pages.
    Finished,
    /// The put of the mark of a finished page.
    Mark,
    /// The last chunk that was handed back.
    HandedBack,
    Commits(u64),
    Claims(u64),
    Holder(u64),
    Beat(String),
    Sure(u64),
    Nothing,
}

/// The newest claim of a chunk. The holder is unknown until the claim is read.
#[derive(Debug, Default)]
struct Claimed {
    epoch: u64,
    holder: Option<String>,
    /// Whether the holder has handed the chunk back.
    is_left: bool,
}

/// The claims that are watched, in rounds. A round reads one page of commits and claims, the holders of new
/// claims, and the beats of all holders. The first round begins after a rest: most workers of a job that ends are without
/// a chunk for a moment only. Before a chunk is taken over, its commit is looked up once more.
///
/// Between rounds the watch reads one short object, which names the chunk that was handed back last. When it has
/// changed, a round begins at once.
#[derive(Debug)]
pub(super) struct ClaimWatch {
    /// The worker's own name.
    name: String,
    lease_config: LeaseConfig,
    /// The watched claims, by chunk.
    claimed: BTreeMap<u64, Claimed>,
    /// The beats of the holders, by the worker's name.
    observers: BTreeMap<String, BeatObserver>,
    /// The chunk at which the search for further chunks to watch begins.
    place: u64,
    /// The same number in each choice of this worker, and another one for each worker.
    choice: u64,
    /// When the round began, and how many rounds there were since the worker last had a chunk.
    began: Duration,
    rounds: u64,
    /// The last content of [`keys::HANDED_BACK`].
    handed_back: Option<Bytes>,
    /// The holders whose beats are still to be read in this round.
    unread: VecDeque<String>,
    /// The holders whose beats have changed in this round.
    moved: BTreeSet<String>,
    step: Step,
}

impl ClaimWatch {
    pub(super) fn new(name: &str, lease_config: LeaseConfig, place: u64) -> Self {
        Self {
            name: name.to_owned(),
            lease_config,
            claimed: BTreeMap::new(),
            observers: BTreeMap::new(),
            place,
            choice: place,
            began: Duration::ZERO,
            rounds: 0,
            handed_back: None,
            unread: VecDeque::new(),
            moved: BTreeSet::new(),
            step: Step::Nothing,
        }
    }

    /// Begins a round, and forgets which beats changed in the last one.
    pub(super) fn begin(&mut self, known: &ChunkMap, now: Duration) -> Next {
        (self.began, self.moved) = (now, BTreeSet::new());
        self.rounds += 1;
        if self.rounds == 1 {
            return self.rest(now);
        }
        if self.rounds == 2 && known.has_pages() {
            self.step = Step::Finished;
            return Next::Ask(Request::List { prefix: keys::FINISHED.to_owned() });
        }
        self.page(known)
    }

    /// Goes on after a rest: with the next round if it is due, else with a look for a chunk that was handed back.
    pub(super) fn wake(&mut self, known: &ChunkMap, now: Duration) -> Next {
        if now >= self.began + self.lease_config.beat {
            return self.begin(known, now);
        }
        self.step = Step::HandedBack;
        Next::Ask(Request::Get { key: keys::HANDED_BACK.to_owned() })
    }

    /// Whether the beat of a holder has stood still for so long that its lease may be about to expire.
    pub(super) fn suspects(&self, now: Duration) -> bool {
        let limit = self.lease_config.beat * SUSPECT_AFTER.0 / SUSPECT_AFTER.1;
        let holders = self.claimed.values().filter_map(|claimed| claimed.holder.as_ref());
        let mut observers = holders.filter_map(|holder| self.observers.get(holder));
        observers.any(|observer| observer.unchanged_for(now) >= limit)
    }

    /// Notes that another worker has claimed the chunk that this worker was told to claim.
    pub(super) fn was_claimed(&mut self, chunk: u64, epoch: u64) {
        self.claimed.insert(chunk, Claimed { epoch, ..Claimed::default() });
    }

    /// Notes that this worker has claimed the chunk.
    pub(super) fn is_own(&mut self, chunk: u64) {
        self.claimed.remove(&chunk);
        self.rounds = 0;
    }

    /// Takes in the answer to the last request.
    pub(super) fn answered(
        &mut self,
        answer: BoardAnswer,
        asked: Duration,
        known: &mut ChunkMap,
        now: Duration,
    ) -> Next {
        match (std::mem::replace(&mut self.step, Step::Nothing), answer) {
            (Step::Finished, BoardAnswer::Listed(listed)) => {
                keys::finished_pages(&listed).for_each(|page| known.commit_page(page));
                self.claimed.retain(|chunk, _| !known.is_committed(*chunk));
                self.page(known)
            }
            (Step::Mark, _) => {
                self.step = Step::Finished;
                Next::Ask(Request::List { prefix: keys::FINISHED.to_owned() })
            }
            (Step::HandedBack, answer) => {
                let BoardAnswer::Found(word) = answer else { return self.rest(now) };
                if self.handed_back.replace(word.clone()).is_some_and(|before| before == word) {
                    return self.rest(now);
                }
                // The round begins at the page of that chunk. A word that is none of a worker's begins a round in vain.
                let chunk =
                    std::str::from_utf8(&word).ok().and_then(|word| word.split(' ').next()?.parse().ok());
                self.place = chunk.unwrap_or(self.place);
                self.begin(known, now)
            }
            (Step::Commits(page), BoardAnswer::Listed(listed)) => {
                known.commits(&listed);
                self.claimed.retain(|chunk, _| !known.is_committed(*chunk));
                if known.next_open(page * keys::PAGE).is_some_and(|chunk| chunk / keys::PAGE == page) {
                    self.step = Step::Claims(page);
                    return Next::Ask(Request::List { prefix: keys::claims_of_page(page) });
                }
                if known.open() == 0 {
                    return Next::Finished;
                }
                self.step = Step::Mark;
                let (key, bytes) = (keys::finished(page), Bytes::from("1"));
                Next::Ask(Request::Put { key, bytes, if_absent: true })
            }
            (Step::Claims(page), BoardAnswer::Listed(listed)) => {
                if let Some(chunk) = self.note_claims(page, &listed, known) {
                    return Next::Claim(chunk, 1);
                }
                if self.claimed.values().any(|claimed| claimed.is_left) {
                    return self.end(known, now);
                }
                self.holder(known, now)
            }
            (Step::Holder(chunk), BoardAnswer::Found(name)) => {
                if let Some(claimed) = self.claimed.get_mut(&chunk) {
                    claimed.holder = Some(name_of(&name, chunk, claimed.epoch));
                }
                self.holder(known, now)
            }
            (Step::Beat(worker), answer) => {
                let beat = if let BoardAnswer::Found(beat) = answer { Some(beat) } else { None };
                let observer = self.observers.entry(worker.clone()).or_insert_with(|| BeatObserver::new(now));
                if observer.read(beat, asked, now, self.lease_config.lease) {
                    self.moved.insert(worker);
                }
                self.beat(known, now)
            }
            (Step::Sure(chunk), BoardAnswer::Listed(listed)) => {
                known.commits(&listed);
                match self.claimed.remove(&chunk) {
                    Some(claimed) if !known.is_committed(chunk) => Next::Claim(chunk, claimed.epoch + 1),
                    _ => self.end(known, now),
                }
            }
            // A claim that was listed but is missing is looked up again in the next round.
            (Step::Holder(chunk), _) => {
                self.claimed.remove(&chunk);
                self.holder(known, now)
            }
            _ => self.end(known, now),
        }
    }

    /// Requests the commits of the next page with an open chunk.
    fn page(&mut self, known: &ChunkMap) -> Next {
        let Some(chunk) = known.open_from(self.place) else { return Next::Finished };
        self.place = chunk;
        let page = chunk / keys::PAGE;
        self.step = Step::Commits(page);
        Next::Ask(Request::List { prefix: keys::commits_of_page(page) })
    }

    /// Takes in the claims of a page. Returns an open chunk without a claim: its holder gives the
    /// chunk up once it notices, so that the chunk is free.
    fn note_claims(&mut self, page: u64, listed: &[String], known: &ChunkMap) -> Option<u64> {
        let newest: BTreeMap<u64, u64> = keys::believed(listed)
            .into_iter()
            .filter_map(|(chunk, epochs)| Some((chunk, *epochs.last()?)))
            .collect();
        self.claimed.retain(|chunk, _| chunk / keys::PAGE != page || newest.contains_key(chunk));
        for (chunk, claimed) in &mut self.claimed {
            // The epoch differs when there is a newer claim, or when the newest one was deleted.
            if let Some(epoch) = newest.get(chunk).filter(|epoch| **epoch != claimed.epoch) {
                *claimed = Claimed { epoch: *epoch, ..Claimed::default() };
            }
        }
        // Every chunk of the page that was handed back is watched, also beyond the limit `MOST`: it is claimed at once.
        for (chunk, epoch) in listed.iter().filter_map(|key| keys::read_left(key)) {
            if newest.get(&chunk) == Some(&epoch) && known.has(chunk) && !known.is_committed(chunk) {
                self.claimed.insert(chunk, Claimed { epoch, holder: None, is_left: true });
            }
        }
        let mut free = None;
        while self.claimed.len() < MOST
            && let Some(chunk) = known.next_open(self.place).filter(|chunk| chunk / keys::PAGE == page)
        {
            match newest.get(&chunk) {
                Some(epoch) => {
                    self.claimed
                        .entry(chunk)
                        .or_insert_with(|| Claimed { epoch: *epoch, ..Claimed::default() });
                }
                None => free = free.or(Some(chunk)),
            }
            self.place = chunk + 1;
        }
        if self.claimed.len() < MOST || known.open() <= self.claimed.len() as u64 {
            self.place = (page + 1) * keys::PAGE;
        }
        free
    }

    /// Requests the next claim whose holder is unknown, and then the beats of all holders.
    fn holder(&mut self, known: &ChunkMap, now: Duration) -> Next {
        let unknown = self.claimed.iter().find(|(_, claimed)| claimed.holder.is_none() && !claimed.is_left);
        if let Some((chunk, claimed)) = unknown {
            self.step = Step::Holder(*chunk);
            return Next::Ask(Request::Get { key: keys::claim(*chunk, claimed.epoch) });
        }
        let holders: BTreeSet<_> =
            self.claimed.values().filter_map(|claimed| claimed.holder.clone()).collect();
        self.observers.retain(|worker, _| holders.contains(worker));
        self.unread = holders.into_iter().collect();
        self.beat(known, now)
    }

    /// Requests the next beat. A name that no worker can have counts as a missing beat, without a request.
    fn beat(&mut self, known: &ChunkMap, now: Duration) -> Next {
        while let Some(worker) = self.unread.pop_front() {
            if !keys::is_worker(&worker) {
                let observer = self.observers.entry(worker).or_insert_with(|| BeatObserver::new(now));
                observer.read(None, now, now, self.lease_config.lease);
                continue;
            }
            let key = keys::beat(&worker);
            self.step = Step::Beat(worker);
            return Next::Ask(Request::Get { key });
        }
        self.end(known, now)
    }

    /// Ends a round: either the holder of a chunk is gone and the chunk is checked once more, or
    /// the watch rests.
    fn end(&mut self, known: &ChunkMap, now: Duration) -> Next {
        let is_gone = |claimed: &Claimed| {
            if claimed.is_left {
                return true;
            }
            let Some(holder) = &claimed.holder else { return false };
            // A chunk that this worker has claimed but does not hold was given up.
            *holder == self.name || self.observers.get(holder).is_some_and(BeatObserver::is_gone)
        };
        let gone = self.claimed.iter().filter(|(_, claimed)| is_gone(claimed));
        let gone: Vec<u64> = gone.map(|(chunk, _)| *chunk).collect();
        if !gone.is_empty() {
            // Each worker chooses another, so that workers without a chunk do not all claim the first.
            let chunk = gone[usize::try_from(self.choice).unwrap_or(0) % gone.len()];
            self.step = Step::Sure(chunk);
            return Next::Ask(Request::List { prefix: keys::commit(chunk) });
        }
        if known.open() > self.claimed.len() as u64 {
            let moved = std::mem::take(&mut self.moved);
            self.claimed
                .retain(|_, claimed| claimed.holder.as_ref().is_none_or(|holder| !moved.contains(holder)));
        }
        self.rest(now)
    }

    /// Rests until the next round, or the next look for a chunk that was handed back.
    fn rest(&mut self, now: Duration) -> Next {
        // A look of zero would never rest.
        let look = self.lease_config.look.max(Duration::from_millis(1));
        Next::Rest((now + look).min(self.began + self.lease_config.beat))
    }
}

/// The name of the worker in a claim. A claim without a permitted name gets a name that never has a beat.
fn name_of(claim: &[u8], chunk: u64, epoch: u64) -> String {
    let name = std::str::from_utf8(claim).ok().filter(|name| keys::is_worker(name));
    name.map_or_else(|| format!("?{chunk}/{epoch}"), str::to_owned)
}
