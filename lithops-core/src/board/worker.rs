//! [`BoardWorker`]: a worker that takes its chunks from a board.

use std::{collections::VecDeque, time::Duration};

use super::{
    Action, BoardAnswer, Chunks, End, Lane, LeaseConfig, Request,
    chunk_map::ChunkMap,
    claimed_chunk::{ClaimedChunk, PriorEpochs},
    exchange::PendingRequest,
    heartbeat::{Heartbeat, HeartbeatResult},
    keys,
    watch::{ClaimWatch, Next},
};
use crate::bytes::Bytes;

#[derive(Debug)]
enum State {
    Looking,
    /// The claims of this page are listed.
    Listing {
        page: u64,
    },
    /// The marks of pages in which every chunk is claimed are listed. `full` is a page that this worker has found to
    /// be one.
    Marks {
        full: u64,
    },
    /// The mark of such a page is put.
    Marking,
    /// The search goes on at this time: every chunk is likely to be claimed.
    Pausing {
        then: Search,
        until: Duration,
    },
    Claiming {
        chunk: u64,
        epoch: u64,
    },
    Watching {
        until: Option<Duration>,
    },
    Reading {
        chunk: u64,
        epoch: u64,
        found: Option<PriorEpochs>,
        hold: Option<ClaimedChunk>,
    },
    Running(ClaimedChunk),
    HandingBack(ClaimedChunk, HandBack),
    Committing {
        chunk: u64,
    },
    Done(End),
}

/// The next step of a search for a free chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// List the claims of this page.
    Page(u64),
    /// List the marks of full pages, and mark this one.
    Marks(u64),
}

/// What is being stored while a chunk is handed back. The order matters: the next holder reads the reports after it
/// has seen that the chunk was handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandBack {
    Reports,
    Left,
    Word,
}

/// The pause between two pages grows to [`LeaseConfig::look`] within this many.
const HOPS: u32 = 2;

/// A worker that takes its chunks from a board. The states are drawn in the [module's documentation](super).
#[derive(Debug)]
pub struct BoardWorker {
    name: String,
    chunks: Chunks,
    lease_config: LeaseConfig,
    known: ChunkMap,
    heart: Heartbeat,
    pending: PendingRequest,
    watch: ClaimWatch,
    state: State,
    /// The chunk at which the worker begins to look for a free one, and how often another worker was first.
    place: u64,
    collisions: u64,
    /// How many chunks this worker has committed, and how often it has changed the page since it held the last one.
    chunks_held: u64,
    hops: u32,
    /// Whether more than half of the page that was listed last was claimed.
    is_crowded: bool,
    /// When the worker last knew that no other worker has claimed its chunk at a higher epoch.
    sure: Duration,
    /// Since when the worker has found no chunk to claim; `None` while it has one.
    idle_since: Option<Duration>,
    /// Actions for the caller that are due before any request.
    orders: VecDeque<Action>,
    /// Whether the worker claims nothing more, because it was told to leave.
    is_leaving: bool,
    /// Whether it also hands back the chunk that it holds.
    hands_back: bool,
}

impl BoardWorker {
    /// A worker. `name` must differ from the name of every other worker, because the worker
    /// recognizes its own claims by it, and must be [permitted in a key](keys::is_worker).
    #[must_use]
    pub fn new(name: &str, chunks: Chunks, lease_config: LeaseConfig) -> Self {
        let known = ChunkMap::new(&chunks);
        let place = known.place_of(name, 0);
        let mut worker = Self {
            name: name.to_owned(),
            chunks,
            lease_config,
            known,
            heart: Heartbeat::new(name, lease_config.beat),
            pending: PendingRequest::default(),
            watch: ClaimWatch::new(name, lease_config, place),
            state: State::Looking,
            place,
            collisions: 0,
            chunks_held: 0,
            hops: 0,
            is_crowded: false,
            sure: Duration::ZERO,
            idle_since: None,
            orders: VecDeque::new(),
            is_leaving: false,
            hands_back: false,
        };
        if worker.is_large() {
            worker.list_claims(place / keys::PAGE);
        }
        worker
    }

    /// Whether the job is so large that a listing before the first claim costs less than the claims in vain that it
    /// saves. In a small job it would only delay the first result.
    fn is_large(&self) -> bool {
        self.chunks.count() > 64
    }

    /// The next step. To be called again at once, until it returns [`Action::Wait`] or [`Action::Done`].
    pub fn poll(&mut self, now: Duration) -> Action {
        if !matches!(self.state, State::Done(_)) {
            let hurry = matches!(self.state, State::Running(_)) && !self.is_sure(now);
            if let Some(request) = self.heart.send(now, hurry) {
                return Action::Ask(Lane::Beat, request);
            }
            self.step(now);
        }
        if let Some(order) = self.orders.pop_front() {
            return order;
        }
        if let State::Done(end) = self.state {
            return Action::Done(end);
        }
        if let Some(request) = self.pending.send(now) {
            return Action::Ask(Lane::Board, request);
        }
        let rest = match self.state {
            State::Watching { until } => until,
            State::Pausing { until, .. } => Some(until),
            _ => None,
        };
        Action::Wait([self.heart.due(), self.pending.due(), rest].into_iter().flatten().min())
    }

    /// Takes in the answer of the storage to the last request of a lane.
    pub fn answered(&mut self, lane: Lane, answer: BoardAnswer, now: Duration) {
        if lane == Lane::Board {
            if let Some((answer, asked)) = self.pending.answered(answer, now) {
                self.learned(answer, asked, now);
            }
            return;
        }
        match self.heart.answered(answer, self.held(), now) {
            HeartbeatResult::Nothing => {}
            HeartbeatResult::Claimed(of, is_claimed) => self.saw_claim(of, is_claimed, now),
            HeartbeatResult::Cancelled => {
                self.stop_calls();
                self.pending.forget();
                self.state = State::Done(End::Cancelled);
            }
        }
    }

    /// Takes in the outcomes of the calls `first..end`, as a report that the board does not decode.
    /// A report for a chunk that the worker no longer holds is dropped.
    pub fn ran(&mut self, chunk: u64, epoch: u64, first: u64, end: u64, report: &Bytes) {
        let State::Running(hold) = &mut self.state else { return };
        if (hold.chunk, hold.epoch) == (chunk, epoch) {
            hold.ran(first, end, report);
            self.commit_if_complete();
        }
    }

    /// Lets the worker leave the job: it claims nothing more and begins no call. When it holds no chunk, it is done at
    /// once; else once its chunk is committed or [handed back](Self::hand_back).
    pub fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Hands the held chunk back, so that another worker claims it at once. What was reported of its calls is stored
    /// first, and the calls that still run are stopped. To be called after [`leave`](Self::leave), when no call runs
    /// any more or there is no time left for those that do.
    pub fn hand_back(&mut self) {
        (self.is_leaving, self.hands_back) = (true, true);
    }

    /// Whether another call of a chunk may begin: never once the worker is leaving. After half a lease without a check of its claim,
    /// the worker must first have seen that no other worker has claimed the chunk. The result
    /// changes only when an answer of the storage comes.
    #[must_use]
    pub fn may_start(&self, chunk: u64, epoch: u64, now: Duration) -> bool {
        matches!(&self.state, State::Running(hold) if (hold.chunk, hold.epoch) == (chunk, epoch))
            && !self.is_leaving
            && self.is_sure(now)
    }

    /// Whether the worker holds no chunk and has found none to claim, so that it can leave the job
    /// without notice.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Watching { .. })
    }

    /// How long the worker has found no chunk to claim.
    #[must_use]
    pub fn idle_for(&self, now: Duration) -> Duration {
        self.idle_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Whether the worker watches a claim whose holder may be gone. It then stays at the job: a worker that comes anew has to
    /// observe for a whole lease.
    #[must_use]
    pub fn suspects(&self, now: Duration) -> bool {
        self.is_idle() && self.watch.suspects(now)
    }

    /// Whether the last check of the claim is recent enough to begin a call. The limit is half the
    /// lease, because the clock of an observer may be faster.
    fn is_sure(&self, now: Duration) -> bool {
        now < self.sure + self.lease_config.lease / 2
    }

    /// The chunk that the worker holds, and its epoch.
    fn held(&self) -> Option<(u64, u64)> {
        match &self.state {
            State::Reading { chunk, epoch, .. } => Some((*chunk, *epoch)),
            State::Running(hold) | State::HandingBack(hold, _) => Some((hold.chunk, hold.epoch)),
            _ => None,
        }
    }

    /// Does what is due because of the time alone.
    fn step(&mut self, now: Duration) {
        let may_begin = self.is_sure(now) && !self.is_leaving;
        if self.hands_back && matches!(self.state, State::Running(_)) {
            self.stop_calls();
            if let State::Running(hold) = std::mem::replace(&mut self.state, State::Looking) {
                self.state = State::HandingBack(hold, HandBack::Reports);
            }
        }
        match &mut self.state {
            State::Looking
            | State::Listing { .. }
            | State::Marks { .. }
            | State::Marking
            | State::Pausing { .. }
            | State::Watching { .. }
                if self.is_leaving =>
            {
                self.pending.forget();
                self.state = State::Done(End::Left);
            }
            State::Looking => self.look(now),
            State::Pausing { then, until } if now >= *until => match *then {
                Search::Page(page) => self.list_claims(page),
                Search::Marks(page) => self.list_marks(page),
            },
            State::HandingBack(hold, part) if self.pending.is_idle() => {
                let (chunk, epoch) = (hold.chunk, hold.epoch);
                if *part == HandBack::Reports {
                    match hold.unsent() {
                        Some(report) => return self.pending.ask(report),
                        None => *part = HandBack::Left,
                    }
                }
                let bytes = Bytes::from(format!("{chunk} {epoch} {}", self.name));
                let (key, if_absent) = match part {
                    HandBack::Word => (keys::HANDED_BACK.to_owned(), false),
                    _ => (keys::left(chunk, epoch), true),
                };
                self.pending.ask(Request::Put { key, bytes, if_absent });
            }
            State::Watching { until: Some(until) } if now >= *until => {
                let idle_since = *self.idle_since.get_or_insert(now);
                if now >= idle_since + self.lease_config.patience {
                    self.state = State::Done(End::Idle);
                } else {
                    let next = self.watch.wake(&self.known, now);
                    self.go_on(next);
                }
            }
            State::Running(hold) => {
                if may_begin && let Some((first, end)) = hold.next_run() {
                    let (chunk, epoch) = (hold.chunk, hold.epoch);
                    self.orders.push_back(Action::RunCalls { chunk, epoch, first, end });
                }
                if self.pending.is_idle()
                    && let Some(report) = hold.unsent()
                {
                    self.pending.ask(report);
                }
            }
            _ => {}
        }
    }

    /// Claims the next free chunk, or begins to watch the claims of other workers.
    fn look(&mut self, now: Duration) {
        if let Some(chunk) = self.known.free_from(self.place) {
            self.place = chunk;
            self.claim(chunk, 1);
        } else {
            self.idle_since.get_or_insert(now);
            let next = self.watch.begin(&self.known, now);
            self.go_on(next);
        }
    }

    fn claim(&mut self, chunk: u64, epoch: u64) {
        self.state = State::Claiming { chunk, epoch };
        let bytes = Bytes::from(self.name.clone());
        self.pending.ask(Request::Put { key: keys::claim(chunk, epoch), bytes, if_absent: true });
    }

    /// Does the next step of the watch.
    fn go_on(&mut self, next: Next) {
        self.state = State::Watching { until: None };
        match next {
            Next::Ask(request) => self.pending.ask(request),
            Next::Rest(until) => self.state = State::Watching { until: Some(until) },
            Next::Claim(chunk, epoch) => self.claim(chunk, epoch),
            Next::Finished => self.state = State::Done(End::Finished),
        }
    }

    /// Takes in an answer on the board's lane.
    fn learned(&mut self, answer: BoardAnswer, asked: Duration, now: Duration) {
        match (&mut self.state, answer) {
            (State::Listing { page }, BoardAnswer::Listed(claims)) => {
                let page = *page;
                self.is_crowded = claims.len() as u64 * 2 > keys::PAGE.min(self.chunks.count());
                claims.iter().filter_map(|key| keys::read_claim(key)).for_each(|(chunk, _)| {
                    self.known.take(chunk);
                });
                self.listed(page, now);
            }
            (State::Marks { full }, BoardAnswer::Listed(marks)) => {
                let full = *full;
                let mut is_marked = false;
                for page in keys::full_pages(&marks) {
                    self.known.take_page(page);
                    is_marked |= page == full;
                }
                if is_marked {
                    self.choose_page();
                } else {
                    self.state = State::Marking;
                    let (key, bytes) = (keys::full(full), Bytes::from("1"));
                    self.pending.ask(Request::Put { key, bytes, if_absent: true });
                }
            }
            (State::Marking, _) => self.choose_page(),
            (State::Claiming { chunk, epoch }, answer) => {
                let (chunk, epoch) = (*chunk, *epoch);
                match answer {
                    BoardAnswer::Stored => self.won(chunk, epoch, now),
                    // Claimed by another worker, or by an earlier try of this one.
                    BoardAnswer::Exists if self.pending.was_repeated() => {
                        self.pending.ask(Request::Get { key: keys::claim(chunk, epoch) });
                    }
                    BoardAnswer::Found(name) if *name == *self.name.as_bytes() => self.won(chunk, epoch, now),
                    BoardAnswer::Exists | BoardAnswer::Found(_) => self.was_claimed(chunk, epoch, now),
                    BoardAnswer::Absent | BoardAnswer::Listed(_) | BoardAnswer::Failed => {
                        self.claim(chunk, epoch)
                    }
                }
            }
            (State::Watching { .. }, answer) => {
                let next = self.watch.answered(answer, asked, &mut self.known, now);
                self.go_on(next);
            }
            (State::Reading { chunk, epoch, found, hold }, answer) => {
                match (hold.as_mut(), found.as_mut(), answer) {
                    (Some(hold), _, BoardAnswer::Found(report)) => hold.read(&report),
                    (None, None, BoardAnswer::Listed(claims)) => {
                        *found = Some(PriorEpochs::claims(&claims, (*chunk, *epoch)))
                    }
                    (None, Some(found), BoardAnswer::Listed(outcomes)) => {
                        found.reports(&outcomes);
                        let calls = self.chunks.calls_of(*chunk);
                        *hold =
                            Some(ClaimedChunk::of((*chunk, *epoch), calls, found, self.lease_config.losses));
                    }
                    // A report that was listed but is missing is left out, and its calls are run again.
                    (Some(unread), Some(found), _) => {
                        found.unreadable.extend(unread.next_unread());
                        *hold = None;
                    }
                    _ => {}
                }
                match hold.take() {
                    None => self.pending.ask(Request::List { prefix: keys::outcomes(*chunk) }),
                    Some(read) => match read.unread() {
                        Some(request) => {
                            *hold = Some(read);
                            self.pending.ask(request);
                        }
                        None => {
                            self.state = State::Running(read);
                            self.commit_if_complete();
                        }
                    },
                }
            }
            (State::Running(hold) | State::HandingBack(hold, HandBack::Reports), _) => hold.sent(),
            (State::HandingBack(_, part @ HandBack::Left), _) => *part = HandBack::Word,
            (State::HandingBack(..), _) => self.state = State::Done(End::Left),
            // The chunk is committed, no matter which worker did it.
            (State::Committing { chunk }, _) => {
                self.known.commit(*chunk);
                self.state = State::Looking;
                self.chunks_held += 1;
                // By the first chunk's end the fleet has spread over the job, and perhaps over all of it: one listing
                // says so, where a claim in vain would be followed by the same listing.
                if self.chunks_held == 1 && self.is_large() {
                    let page = self.place / keys::PAGE;
                    if self.is_crowded {
                        // Half of the chunks were claimed when this worker came, and the rest of the fleet came after
                        // it: most likely all are claimed now, and the job ends soon.
                        let until = now + self.lease_config.look;
                        self.state = State::Pausing { then: Search::Page(page), until };
                    } else {
                        self.list_claims(page);
                    }
                }
            }
            (
                State::Looking
                | State::Listing { .. }
                | State::Marks { .. }
                | State::Pausing { .. }
                | State::Done(_),
                _,
            ) => {}
        }
    }

    /// Goes on after the claims of a page were listed: within the page, of which the worker knows everything now, or
    /// where the marks of full pages lead it.
    fn listed(&mut self, page: u64, now: Duration) {
        if let Some(chunk) = self.known.free_in_page(page, self.known.place_of(&self.name, self.collisions)) {
            self.place = chunk;
            self.state = State::Looking;
        } else if self.known.has_pages() {
            // After one chunk for each worker, at least this page is full: most likely all are, and the job ends soon. Also
            // where one page after another is full. The pause comes before the marks, because other workers mark the rest
            // meanwhile.
            let hops = if self.chunks_held == 1 { HOPS } else { self.hops.min(HOPS) };
            if hops == 0 {
                return self.list_marks(page);
            }
            let until = now + self.lease_config.look * hops / HOPS;
            self.state = State::Pausing { then: Search::Marks(page), until };
        } else {
            self.state = State::Looking;
        }
    }

    fn list_marks(&mut self, full: u64) {
        self.state = State::Marks { full };
        self.pending.ask(Request::List { prefix: keys::FULL.to_owned() });
    }

    fn list_claims(&mut self, page: u64) {
        self.state = State::Listing { page };
        self.pending.ask(Request::List { prefix: keys::claims_of_page(page) });
    }

    /// Goes on after the marks of full pages were listed: in the page where the worker is, or in another one, of which
    /// it lists the claims first. Workers that leave the same page must not all come to the same place.
    fn choose_page(&mut self) {
        let page = self.place / keys::PAGE;
        if self.known.free_from(self.place).is_some_and(|chunk| chunk / keys::PAGE == page) {
            self.state = State::Looking;
            return;
        }
        self.place = self.known.place_of(&self.name, self.collisions + self.chunks_held);
        match self.known.free_from(self.place) {
            Some(chunk) => {
                self.place = chunk;
                self.hops += 1;
                self.list_claims(chunk / keys::PAGE);
            }
            None => self.state = State::Looking,
        }
    }

    /// Begins to work on a chunk whose claim is this worker's.
    fn won(&mut self, chunk: u64, epoch: u64, now: Duration) {
        (self.sure, self.idle_since, self.hops) = (now, None, 0);
        self.known.take(chunk);
        self.watch.is_own(chunk);
        if self.is_leaving {
            // Nothing has run yet.
            let hold = ClaimedChunk::untouched((chunk, epoch), self.chunks.calls_of(chunk));
            self.state = State::HandingBack(hold, HandBack::Reports);
        } else if epoch == 1 {
            self.state = State::Running(ClaimedChunk::untouched((chunk, epoch), self.chunks.calls_of(chunk)));
        } else {
            self.state = State::Reading { chunk, epoch, found: None, hold: None };
            self.pending.ask(Request::List { prefix: keys::claims(chunk) });
        }
    }

    /// Continues elsewhere after another worker was first.
    fn was_claimed(&mut self, chunk: u64, epoch: u64, now: Duration) {
        if epoch > 1 {
            self.watch.was_claimed(chunk, epoch);
            let next = self.watch.begin(&self.known, now);
            return self.go_on(next);
        }
        // The worker continues at another place of this page, whose claims it lists first.
        self.known.take(chunk);
        self.collisions += 1;
        self.list_claims(chunk / keys::PAGE);
    }

    /// Takes in whether the held chunk is claimed at the next epoch, and gives the chunk up if it is.
    fn saw_claim(&mut self, of: (u64, u64), is_claimed: bool, now: Duration) {
        // The request may have been sent before the worker got the chunk that it holds now.
        if self.held() != Some(of) {
            return;
        }
        if is_claimed {
            self.stop_calls();
            self.pending.forget();
            self.state = State::Looking;
        } else {
            self.sure = now;
        }
    }

    /// Stops the calls of the held chunk.
    fn stop_calls(&mut self) {
        if let State::Running(hold) = &self.state
            && hold.is_running()
        {
            self.orders.push_back(Action::StopCalls { chunk: hold.chunk, epoch: hold.epoch });
        }
    }

    /// Commits the held chunk once every call has an outcome.
    fn commit_if_complete(&mut self) {
        if let State::Running(hold) = &self.state
            && hold.is_complete()
        {
            let chunk = hold.chunk;
            self.pending.ask(hold.commit(&self.name));
            self.state = State::Committing { chunk };
        }
    }
}
