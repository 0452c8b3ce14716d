//! [`BoardClient`]: the client's side of a board.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    BoardAnswer, Chunks, ClientAction, CommittedChunk, Content, LeaseConfig, OutcomeRange, Request,
    chunk_map::ChunkMap, exchange::PendingRequest, keys, liveness::BeatObserver,
};
use crate::bytes::Bytes;

/// Beats of workers that count as gone are read only in every eighth count. Most of those workers
/// are dead, but one may only have been suspended.
const GONE_READ_EVERY: u64 = 8;

/// The most workers of other clients that are observed. Any program that can write to the storage
/// can add beats, so that their number needs a limit.
const MOST_OTHERS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Resting(Duration),
    Cancelling,
    Asking,
    Surveying { page: u64 },
    Closing { chunk: u64 },
    Counting,
    Feeling { worker: String },
    Done,
}

/// The client's side of a board: it notices commits, says how many workers are needed, and cancels
/// the job. All its state is on the board, so that another client can take its place at any time,
/// or work beside it. The states are drawn in the [module's documentation](super).
#[derive(Debug)]
pub struct BoardClient {
    name: String,
    chunks: Chunks,
    lease_config: LeaseConfig,
    max_workers: u64,
    /// Which chunks are committed.
    known: ChunkMap,
    /// Committed chunks that the caller has not taken yet.
    news: VecDeque<u64>,
    /// The beats of all known workers, by the worker's name.
    observers: BTreeMap<String, BeatObserver>,
    /// The workers whose beats are still to be read in this count.
    unread: VecDeque<String>,
    pending: PendingRequest,
    state: State,
    cancel_wanted: bool,
    is_cancelled: bool,
    /// When the workers are counted next.
    next_count: Duration,
    /// How often the workers were counted.
    counts: u64,
    /// Whether the client has once read all commits and beats. Before, it cannot say how many
    /// workers are needed.
    has_surveyed: bool,
}

impl BoardClient {
    /// A client whose own commits carry `name`.
    #[must_use]
    pub fn new(name: &str, chunks: Chunks, lease_config: LeaseConfig, max_workers: u64) -> Self {
        Self {
            name: name.to_owned(),
            chunks,
            lease_config,
            max_workers,
            known: ChunkMap::new(&chunks),
            news: VecDeque::new(),
            observers: BTreeMap::new(),
            unread: VecDeque::new(),
            pending: PendingRequest::default(),
            state: State::Resting(Duration::ZERO),
            cancel_wanted: false,
            is_cancelled: false,
            next_count: Duration::ZERO,
            counts: 0,
            has_surveyed: false,
        }
    }

    /// The next step. To be called again at once, until it returns [`ClientAction::Wait`] or
    /// [`ClientAction::Done`].
    pub fn poll(&mut self, now: Duration) -> ClientAction {
        if let State::Resting(until) = self.state {
            if self.cancel_wanted && !self.is_cancelled {
                let bytes = Bytes::from(self.name.clone());
                let put = Request::Put { key: keys::CANCEL.to_owned(), bytes, if_absent: true };
                self.go(State::Cancelling, put);
            } else if now >= until {
                self.begin();
            }
        }
        if self.state == State::Done {
            return ClientAction::Done;
        }
        if let Some(request) = self.pending.send(now) {
            return ClientAction::Ask(request);
        }
        let rest = if let State::Resting(until) = self.state { Some(until) } else { None };
        ClientAction::Wait(self.pending.due().or(rest))
    }

    /// Takes in the answer of the storage to the last request.
    pub fn answered(&mut self, answer: BoardAnswer, now: Duration) {
        let Some((answer, asked)) = self.pending.answered(answer, now) else { return };
        match (self.state.clone(), answer) {
            (State::Cancelling, _) => {
                self.is_cancelled = true;
                self.begin();
            }
            (State::Asking, answer) => {
                self.is_cancelled |= matches!(answer, BoardAnswer::Found(_));
                self.survey(0, now);
            }
            (State::Surveying { page }, BoardAnswer::Listed(listed)) => {
                self.news.extend(self.known.commits(&listed));
                self.survey((page + 1) * keys::PAGE, now);
            }
            (State::Closing { chunk }, _) => {
                // If this client's put was not the first, then another commit of the chunk exists:
                // it is committed in both cases.
                if self.known.commit(chunk) {
                    self.news.push_back(chunk);
                }
                self.close();
            }
            (State::Counting, BoardAnswer::Listed(listed)) => {
                for worker in listed.iter().filter_map(|key| keys::worker_of_beat(key)) {
                    if self.observers.len() < MOST_OTHERS {
                        self.observers.entry(worker.to_owned()).or_insert_with(|| BeatObserver::new(now));
                    }
                }
                let all = self.counts.is_multiple_of(GONE_READ_EVERY);
                let observers = self.observers.iter().filter(|(_, observer)| all || !observer.is_gone());
                self.unread = observers.map(|(worker, _)| worker.clone()).collect();
                self.counts += 1;
                self.feel(now);
            }
            (State::Feeling { worker }, answer) => {
                let beat = if let BoardAnswer::Found(beat) = answer { Some(beat) } else { None };
                if let Some(observer) = self.observers.get_mut(&worker) {
                    let lease =
                        if observer.has_begun() { self.lease_config.lease } else { self.lease_config.start };
                    observer.read(beat, asked, now, lease);
                }
                self.feel(now);
            }
            _ => self.state = State::Resting(now),
        }
    }

    /// Notes that the commit of a chunk cannot be read and does not count, so that the chunk is open again.
    pub fn reopened(&mut self, chunk: u64, now: Duration) {
        self.known.reopen(chunk);
        if self.state == State::Done {
            self.state = State::Resting(now);
        }
    }

    /// The next chunk that was found committed. Each chunk comes once, unless it was
    /// [reopened](Self::reopened).
    pub fn take_committed(&mut self) -> Option<u64> {
        self.news.pop_front()
    }

    /// Notes that a worker of this name was started. It counts as alive until its start takes
    /// longer than [`LeaseConfig::start`].
    pub fn started(&mut self, worker: &str, now: Duration) {
        self.observers.entry(worker.to_owned()).or_insert_with(|| BeatObserver::new(now));
    }

    /// How many workers must be started: the number of open chunks, at most `max_workers`, less the
    /// workers that live.
    #[must_use]
    pub fn needed(&self) -> u64 {
        if !self.has_surveyed || self.is_cancelled || self.cancel_wanted {
            return 0;
        }
        let live = self.observers.values().filter(|observer| !observer.is_gone()).count() as u64;
        self.known.open().min(self.max_workers).saturating_sub(live)
    }

    /// The number of chunks that are not known to be committed.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.known.open()
    }

    /// Cancels the job: chunks that are not committed by then are committed as cancelled.
    pub fn cancel(&mut self) {
        self.cancel_wanted = true;
    }

    /// Whether this client, or another one, has cancelled the job.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// Whether every chunk is committed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.known.open() == 0
    }

    fn go(&mut self, state: State, request: Request) {
        self.state = state;
        self.pending.ask(request);
    }

    fn begin(&mut self) {
        self.go(State::Asking, Request::Get { key: keys::CANCEL.to_owned() });
    }

    /// Requests the commits of the next page that has open chunks.
    fn survey(&mut self, from: u64, now: Duration) {
        if let Some(chunk) = self.known.next_open(from) {
            let page = chunk / keys::PAGE;
            self.go(State::Surveying { page }, Request::List { prefix: keys::commits_of_page(page) });
        } else if self.is_finished() {
            self.state = State::Done;
        } else if self.is_cancelled {
            self.close();
        } else if now >= self.next_count {
            self.next_count = now + self.lease_config.beat;
            self.go(State::Counting, Request::List { prefix: keys::BEATS.to_owned() });
        } else {
            self.state = State::Resting(now + self.lease_config.look);
        }
    }

    /// Commits the next open chunk as cancelled.
    fn close(&mut self) {
        let Some(chunk) = self.known.next_open(0) else {
            self.state = State::Done;
            return;
        };
        let (first, end) = self.chunks.calls_of(chunk);
        let parts = vec![OutcomeRange { first, end, content: Content::Cancelled }];
        let bytes = CommittedChunk { author: self.name.clone(), epoch: 0, parts }.encode();
        self.go(State::Closing { chunk }, Request::Put { key: keys::commit(chunk), bytes, if_absent: true });
    }

    /// Requests the next beat, or rests when all beats are read.
    fn feel(&mut self, now: Duration) {
        if let Some(worker) = self.unread.pop_front() {
            let key = keys::beat(&worker);
            self.go(State::Feeling { worker }, Request::Get { key });
        } else {
            self.has_surveyed = true;
            self.state = State::Resting(now + self.lease_config.look);
        }
    }
}
