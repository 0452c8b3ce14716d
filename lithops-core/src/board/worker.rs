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
    /// Where it looks for a free chunk, and how often it was in another's way.
    place: u64,
    collisions: u64,
    /// When it last was sure that nobody has claimed its chunk after it.
    sure: Duration,
    idle_since: Option<Duration>,
    orders: VecDeque<Action>,
}

impl BoardWorker {
    /// A worker with a name that no other has ever had: it tells own claims from those of others by it. It must be a
    /// part of a key.
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

    /// What to do next. To be asked again at once, until it says to wait.
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

    /// Takes in the answer of the storage.
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

    /// Takes in the outcomes of the calls `first..end`, as a report that nobody here reads. What comes for a chunk that
    /// is not held any more is dropped.
    pub fn ran(&mut self, chunk: u64, epoch: u64, first: u64, end: u64, report: &Bytes) {
        let State::Running(hold) = &mut self.state else { return };
        if (hold.chunk, hold.epoch) == (chunk, epoch) {
            hold.ran(first, end, report);
            self.commit_if_complete();
        }
    }

    /// Whether another call of a chunk may begin. After a time in which it was not heard of, a worker must first have
    /// seen that nobody has claimed its chunk; the answer changes when an answer of the storage comes.
    #[must_use]
    pub fn may_start(&self, chunk: u64, epoch: u64, now: Duration) -> bool {
        matches!(&self.state, State::Running(hold) if (hold.chunk, hold.epoch) == (chunk, epoch))
            && self.is_sure(now)
    }

    /// Whether it holds nothing and has found nothing to claim, so that it may leave the job without a word.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Watching { .. })
    }

    /// Half the lease: the observer's clock may be the faster one.
    fn is_sure(&self, now: Duration) -> bool {
        now < self.sure + self.lease_config.lease / 2
    }

    fn held(&self) -> Option<(u64, u64)> {
        match &self.state {
            State::Reading { chunk, epoch, .. } => Some((*chunk, *epoch)),
            State::Running(hold) => Some((hold.chunk, hold.epoch)),
            _ => None,
        }
    }

    /// What time alone makes due.
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

    fn go_on(&mut self, next: Next) {
        self.state = State::Watching { until: None };
        match next {
            Next::Ask(request) => self.pending.ask(request),
            Next::Rest(until) => self.state = State::Watching { until: Some(until) },
            Next::Claim(chunk, epoch) => self.claim(chunk, epoch),
            Next::Finished => self.state = State::Done(End::Finished),
        }
    }

    /// Takes in what the storage says to the board's lane.
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
                    // By another, or by an earlier try of its own.
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
                    // A report that was listed and is not there: it is done without.
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
            // Whoever has committed it: it is committed.
            (State::Committing { chunk }, _) => {
                self.known.commit(*chunk);
                self.state = State::Looking;
            }
            (State::Looking | State::Done(_), _) => {}
        }
    }

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

    fn was_claimed(&mut self, chunk: u64, epoch: u64, holder: &[u8], now: Duration) {
        if epoch > 1 {
            self.watch.was_claimed(chunk, epoch, holder);
            let next = self.watch.begin(&self.known, now);
            return self.go_on(next);
        }
        // It goes elsewhere, where others do not; and learns of the whole neighbourhood here.
        self.known.take(chunk);
        self.collisions += 1;
        self.place = self.known.place_of(&self.name, self.collisions);
        self.state = State::Looking;
        self.pending.ask(Request::List { prefix: keys::claims_of_page(chunk / keys::PAGE) });
    }

    fn saw_claims(&mut self, of: (u64, u64), claims: &[String], now: Duration) {
        // They may have been looked at before it held what it holds now.
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
            // Its claim is gone: nothing keeps others from the chunk, and it may be one of those who claim it anew.
            self.stop();
            self.state = State::Looking;
            if newest.is_none() {
                self.known.forget(chunk);
            }
        }
    }

    /// Wants nothing more of what it holds.
    fn stop(&mut self) {
        if let State::Running(hold) = &self.state
            && hold.is_running()
        {
            self.orders.push_back(Action::StopCalls { chunk: hold.chunk, epoch: hold.epoch });
        }
        self.pending.forget();
    }

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
