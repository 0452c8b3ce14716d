//! [`BoardClient`]: the client's side of a board.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    BoardAnswer, Chunks, ClientAction, CommittedChunk, Content, LeaseConfig, OutcomeRange, Request,
    chunk_map::ChunkMap, exchange::PendingRequest, keys,
};
use crate::bytes::Bytes;

/// The number of requests that a client sends side by side. A job of a million chunks has a thousand pages of
/// commits, and a round that lists them one after another would take half a minute.
const LANES: usize = 8;

/// The shortest pause between two rounds. It grows with the time since the last commit, up to [`LeaseConfig::look`]: the
/// next commit is most likely soon after the last one, and is seen late by a quarter of its time at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// See [`SHORTEST_PAUSE`].
const PART: u32 = 4;

/// Only every sixteenth round without a commit looks for marks of finished pages that are wrong.
const DOUBTED_EVERY: u64 = 16;

/// What a client does between two rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Resting(Duration),
    /// A round: the cancellation is looked up, and the commits of each page with open chunks are listed. The
    /// round has listed, or is listing, the pages before `next`.
    Looking {
        next: u64,
        news: bool,
    },
    /// Open chunks are committed as cancelled; those before `next` are, or are being.
    Closing {
        next: u64,
    },
    Done,
}

/// A request of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Cancel,
    LookForCancel,
    Commits(u64),
    Close(u64),
    /// The marks of finished pages.
    Marks,
    /// A put whose result makes no difference to the round.
    Doubt,
}

/// The client's side of a board: it notices commits and cancels the job. All its state is on the board, so that
/// another client can take its place at any time, or work beside it. The states are drawn in the
/// [module's documentation](super).
#[derive(Debug)]
pub struct BoardClient {
    name: String,
    chunks: Chunks,
    lease_config: LeaseConfig,
    /// Which chunks are committed.
    known: ChunkMap,
    /// Committed chunks that the caller has not taken yet.
    news: VecDeque<u64>,
    lanes: [(Option<Purpose>, PendingRequest); LANES],
    state: State,
    /// Requests of the round that no lane has taken yet.
    queued: VecDeque<(Purpose, Request)>,
    /// When the last commit was seen, or when the job began.
    last_news: Duration,
    /// How many rounds have found nothing, and the pages whose marks were contradicted.
    rounds: u64,
    doubted: BTreeSet<u64>,
    cancel_wanted: bool,
    is_cancelled: bool,
}

impl BoardClient {
    /// A client whose own commits carry `name`.
    #[must_use]
    pub fn new(name: &str, chunks: Chunks, lease_config: LeaseConfig) -> Self {
        Self {
            name: name.to_owned(),
            chunks,
            lease_config,
            known: ChunkMap::new(&chunks),
            news: VecDeque::new(),
            lanes: std::array::from_fn(|_| (None, PendingRequest::default())),
            state: State::Resting(Duration::ZERO),
            queued: VecDeque::new(),
            last_news: Duration::ZERO,
            rounds: 0,
            doubted: BTreeSet::new(),
            cancel_wanted: false,
            is_cancelled: false,
        }
    }

    /// The next step. To be called again at once, until it returns [`ClientAction::Wait`] or
    /// [`ClientAction::Done`].
    pub fn poll(&mut self, now: Duration) -> ClientAction {
        if let State::Resting(until) = self.state
            && (now >= until || self.cancel_wanted && !self.is_cancelled)
        {
            self.begin();
        }
        loop {
            self.fill();
            let sent = self.lanes.iter_mut().enumerate().find_map(|(lane, (purpose, pending))| {
                purpose.as_ref()?;
                Some(ClientAction::Ask(lane, pending.send(now)?))
            });
            if let Some(sent) = sent {
                return sent;
            }
            let is_busy = self.lanes.iter().any(|(purpose, _)| purpose.is_some());
            match self.state {
                State::Done => return ClientAction::Done,
                State::Resting(until) => return ClientAction::Wait(Some(until)),
                State::Looking { .. } | State::Closing { .. } if is_busy => {
                    return ClientAction::Wait(self.lanes.iter().filter_map(|(_, lane)| lane.due()).min());
                }
                State::Looking { news, .. } => self.end_of_round(news, now),
                // A commit may have been found damaged meanwhile.
                State::Closing { .. } if self.is_finished() => self.state = State::Done,
                State::Closing { .. } => self.state = State::Closing { next: 0 },
            }
        }
    }

    /// Takes in the answer of the storage to the request of a lane.
    pub fn answered(&mut self, lane: usize, answer: BoardAnswer, now: Duration) {
        let Some((purpose, pending)) = self.lanes.get_mut(lane) else { return };
        let Some((answer, _)) = pending.answered(answer, now) else { return };
        match (purpose.take(), answer) {
            (Some(Purpose::Cancel), _) | (Some(Purpose::LookForCancel), BoardAnswer::Found(_)) => {
                self.is_cancelled = true;
            }
            (Some(Purpose::Commits(_)), BoardAnswer::Listed(listed)) => {
                let found = self.known.commits(&listed);
                if let State::Looking { news, .. } = &mut self.state {
                    *news |= !found.is_empty();
                }
                self.news.extend(found);
            }
            // If this client's put was not the first, then another commit of the chunk exists: it is committed in both
            // cases.
            (Some(Purpose::Close(chunk)), _) if self.known.commit(chunk) => self.news.push_back(chunk),
            (Some(Purpose::Marks), BoardAnswer::Listed(marks)) => {
                let wrong: Vec<u64> = keys::finished_pages(&marks)
                    .filter(|page| {
                        self.known.next_open(page * keys::PAGE).is_some_and(|open| open / keys::PAGE == *page)
                    })
                    .collect();
                wrong.into_iter().for_each(|page| self.doubt(page));
            }
            _ => {}
        }
    }

    /// Notes that the commit of a chunk cannot be read and does not count, so that the chunk is open again.
    pub fn reopened(&mut self, chunk: u64, now: Duration) {
        self.known.reopen(chunk);
        self.doubt(chunk / keys::PAGE);
        if self.state == State::Done {
            self.state = State::Resting(now);
        }
    }

    /// The next chunk that was found committed. Each chunk comes once, unless it was
    /// [reopened](Self::reopened).
    pub fn take_committed(&mut self) -> Option<u64> {
        self.news.pop_front()
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

    /// Begins a round.
    fn begin(&mut self) {
        let key = keys::CANCEL.to_owned();
        self.queued.push_back(if self.cancel_wanted && !self.is_cancelled {
            (Purpose::Cancel, Request::Put { key, bytes: Bytes::from(self.name.clone()), if_absent: true })
        } else {
            (Purpose::LookForCancel, Request::Get { key })
        });
        if self.rounds % DOUBTED_EVERY == DOUBTED_EVERY - 1 {
            self.queued.push_back((Purpose::Marks, Request::List { prefix: keys::FINISHED.to_owned() }));
        }
        self.state = State::Looking { next: 0, news: false };
    }

    /// Gives free lanes the next requests of the state.
    fn fill(&mut self) {
        for lane in 0..LANES {
            if self.lanes[lane].0.is_none()
                && let Some((purpose, request)) = self.queued.pop_front().or_else(|| self.next_request())
            {
                self.lanes[lane].1.ask(request);
                self.lanes[lane].0 = Some(purpose);
            }
        }
    }

    fn next_request(&mut self) -> Option<(Purpose, Request)> {
        match &mut self.state {
            State::Looking { next, .. } => {
                let page = self.known.next_open(*next * keys::PAGE)? / keys::PAGE;
                *next = page + 1;
                Some((Purpose::Commits(page), Request::List { prefix: keys::commits_of_page(page) }))
            }
            State::Closing { next } => {
                let chunk = self.known.next_open(*next)?;
                *next = chunk + 1;
                let (first, end) = self.chunks.calls_of(chunk);
                let parts = vec![OutcomeRange { first, end, content: Content::Cancelled }];
                let bytes = CommittedChunk { author: self.name.clone(), epoch: 0, parts }.encode();
                let put = Request::Put { key: keys::commit(chunk), bytes, if_absent: true };
                Some((Purpose::Close(chunk), put))
            }
            State::Resting(_) | State::Done => None,
        }
    }

    fn end_of_round(&mut self, news: bool, now: Duration) {
        if self.is_finished() {
            self.state = State::Done;
        } else if self.is_cancelled {
            self.state = State::Closing { next: 0 };
        } else {
            self.rounds = if news { 0 } else { self.rounds + 1 };
            self.last_news = if news { now } else { self.last_news };
            // Whole milliseconds: a timer that counts in larger units than this would wake too early for ever.
            let part = (now - self.last_news).as_millis() / u128::from(PART);
            let pause = Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX));
            let pause = pause.max(SHORTEST_PAUSE).min(self.lease_config.look);
            self.state = State::Resting(now + pause);
        }
    }

    /// Contradicts the mark of a finished page, which keeps workers from looking for open chunks there.
    fn doubt(&mut self, page: u64) {
        if self.doubted.insert(page) {
            let put = Request::Put { key: keys::unfinished(page), bytes: Bytes::from("1"), if_absent: true };
            self.queued.push_back((Purpose::Doubt, put));
        }
    }
}
