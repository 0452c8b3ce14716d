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
    Claiming { chunk: u64, epoch: u64 },
    Watching { until: Option<Duration> },
    Reading { chunk: u64, epoch: u64, found: Option<PriorEpochs>, hold: Option<ClaimedChunk> },
    Running(ClaimedChunk),
    Committing { chunk: u64 },
    Done(End),
}

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
    /// When the worker last knew that no other worker has claimed its chunk at a higher epoch.
    sure: Duration,
    /// Since when the worker has found no chunk to claim; `None` while it has one.
    idle_since: Option<Duration>,
    /// Actions for the caller that are due before any request.
    orders: VecDeque<Action>,
}

impl BoardWorker {
    /// A worker. `name` must differ from the name of every other worker, because the worker
    /// recognizes its own claims by it, and must be [permitted in a key](keys::is_worker).
    #[must_use]
    pub fn new(name: &str, chunks: Chunks, lease_config: LeaseConfig) -> Self {
        let known = ChunkMap::new(&chunks);
        let place = known.place_of(name, 0);
        Self {
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
            sure: Duration::ZERO,
            idle_since: None,
            orders: VecDeque::new(),
        }
    }

    /// The next step. To be called again at once, until it returns [`Action::Wait`] or [`Action::Done`].
    pub fn poll(&mut self, now: Duration) -> Action {
        if !matches!(self.state, State::Done(_)) {
            let hurry = matches!(self.state, State::Running(_)) && !self.is_sure(now);
            if let Some(request) = self.heart.send(now, hurry) {
                return Action::Ask(Lane::Beat, request);
            }
            if self.heart.has_begun() {
                self.step(now);
            }
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
        let rest = if let State::Watching { until } = self.state { until } else { None };
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
            HeartbeatResult::Claims(of, claims) => self.saw_claims(of, &claims, now),
            HeartbeatResult::Cancelled => {
                self.stop();
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

    /// Whether another call of a chunk may begin. After half a lease without a check of its claim,
    /// the worker must first have seen that no other worker has claimed the chunk. The result
    /// changes only when an answer of the storage comes.
    #[must_use]
    pub fn may_start(&self, chunk: u64, epoch: u64, now: Duration) -> bool {
        matches!(&self.state, State::Running(hold) if (hold.chunk, hold.epoch) == (chunk, epoch))
            && self.is_sure(now)
    }

    /// Whether the worker holds no chunk and has found none to claim, so that it can leave the job
    /// without notice.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Watching { .. })
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
            State::Running(hold) => Some((hold.chunk, hold.epoch)),
            _ => None,
        }
    }

    /// Does what is due because of the time alone.
    fn step(&mut self, now: Duration) {
        let is_sure = self.is_sure(now);
        match &mut self.state {
            State::Looking if self.pending.is_idle() => self.look(now),
            State::Watching { until: Some(until) } if now >= *until => {
                let idle_since = *self.idle_since.get_or_insert(now);
                if now >= idle_since + self.lease_config.patience {
                    self.state = State::Done(End::Idle);
                } else {
                    let next = self.watch.begin(&self.known, now);
                    self.go_on(next);
                }
            }
            State::Running(hold) => {
                if is_sure && let Some((first, end)) = hold.next_run() {
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
            (State::Looking, BoardAnswer::Listed(claims)) => {
                claims.iter().filter_map(|key| keys::read_claim(key)).for_each(|(chunk, _)| {
                    self.known.take(chunk);
                });
            }
            (State::Claiming { chunk, epoch }, answer) => {
                let (chunk, epoch) = (*chunk, *epoch);
                match answer {
                    BoardAnswer::Stored => self.won(chunk, epoch, now),
                    // Claimed by another worker, or by an earlier try of this one.
                    BoardAnswer::Exists => self.pending.ask(Request::Get { key: keys::claim(chunk, epoch) }),
                    BoardAnswer::Found(name) if *name == *self.name.as_bytes() => self.won(chunk, epoch, now),
                    BoardAnswer::Found(name) => self.was_claimed(chunk, epoch, &name, now),
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
                        *found = Some(PriorEpochs::claims(&claims, *chunk))
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
            (State::Running(hold), _) => hold.sent(),
            // The chunk is committed, no matter which worker did it.
            (State::Committing { chunk }, _) => {
                self.known.commit(*chunk);
                self.state = State::Looking;
            }
            (State::Looking | State::Done(_), _) => {}
        }
    }

    /// Begins to work on a chunk whose claim is this worker's.
    fn won(&mut self, chunk: u64, epoch: u64, now: Duration) {
        (self.sure, self.idle_since) = (now, None);
        self.known.take(chunk);
        self.watch.is_own(chunk);
        if epoch == 1 {
            self.state = State::Running(ClaimedChunk::first(chunk, self.chunks.calls_of(chunk)));
        } else {
            self.state = State::Reading { chunk, epoch, found: None, hold: None };
            self.pending.ask(Request::List { prefix: keys::claims(chunk) });
        }
    }

    /// Continues elsewhere after another worker was first.
    fn was_claimed(&mut self, chunk: u64, epoch: u64, holder: &[u8], now: Duration) {
        if epoch > 1 {
            self.watch.was_claimed(chunk, epoch, holder);
            let next = self.watch.begin(&self.known, now);
            return self.go_on(next);
        }
        // The worker continues at another place, where other workers are not, and first lists the
        // claims of this page.
        self.known.take(chunk);
        self.collisions += 1;
        self.place = self.known.place_of(&self.name, self.collisions);
        self.state = State::Looking;
        self.pending.ask(Request::List { prefix: keys::claims_of_page(chunk / keys::PAGE) });
    }

    /// Takes in the claims of the held chunk, and gives the chunk up unless this worker's claim is
    /// the newest.
    fn saw_claims(&mut self, of: (u64, u64), claims: &[String], now: Duration) {
        // The claims may have been requested before the worker got the chunk that it holds now.
        if self.held() != Some(of) {
            return;
        }
        let (chunk, epoch) = of;
        let newest = keys::believed(claims).get(&chunk).and_then(|epochs| epochs.last()).copied();
        if newest.is_some_and(|newest| newest > epoch) {
            self.stop();
            self.state = State::Looking;
        } else if claims.contains(&keys::claim(chunk, epoch)) {
            self.sure = now;
        } else {
            // The claim is gone, so that it no longer keeps other workers from the chunk. This
            // worker may claim the chunk again.
            self.stop();
            self.state = State::Looking;
            if newest.is_none() {
                self.known.forget(chunk);
            }
        }
    }

    /// Stops the calls of the held chunk and drops the pending request.
    fn stop(&mut self) {
        if let State::Running(hold) = &self.state
            && hold.is_running()
        {
            self.orders.push_back(Action::StopCalls { chunk: hold.chunk, epoch: hold.epoch });
        }
        self.pending.forget();
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
