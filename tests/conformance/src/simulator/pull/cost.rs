//! [`board_cost`]: what the board costs at scale, in requests, in price and in delay.
//!
//! Nothing goes wrong here. The workers and the client are those of the board, against a storage in which each request
//! takes the same time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    fmt,
    ops::Bound,
    time::Duration,
};

use lithops_core::{
    board::{
        Action, BoardAnswer, BoardClient, BoardWorker, Chunks, ClientAction, Lane, LeaseConfig, Request, keys,
    },
    bytes::Bytes,
};

use super::super::random::Random;

/// How many keys a storage lists in one request.
const LISTED: u64 = 1000;

/// What AWS S3 takes for a put or a listing, and for a get, in us-east-1 in 2026, in US dollars.
const WRITE_USD: f64 = 0.005 / 1000.0;
const READ_USD: f64 = 0.0004 / 1000.0;

/// All workers begin within this time, in microseconds.
const START: u64 = 2_000_000;

/// A job whose board is priced.
#[derive(Debug, Clone, Copy)]
pub struct BoardJob {
    /// The number of workers.
    pub workers: u64,
    /// The number of calls.
    pub calls: u64,
    /// The number of calls per chunk.
    pub chunksize: u64,
    /// How long one chunk takes in a worker.
    pub chunk_time: Duration,
    /// How long one request takes, or one page of a listing.
    pub request_time: Duration,
}

/// What the board of a job costs.
#[derive(Debug, Clone, Default)]
pub struct BoardCost {
    /// How many requests of each kind were made: by workers or the client, and what of.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// The number of chunks.
    pub chunks: u64,
    /// When the last commit was stored, and when the client saw the end of the job.
    pub stored: Duration,
    /// See `stored`.
    pub seen: Duration,
    /// The longest time, and the median, from a commit until the client has seen it.
    pub latest: Duration,
    /// See `latest`.
    pub median: Duration,
}

impl BoardCost {
    /// The number of requests per chunk.
    #[must_use]
    pub fn per_chunk(&self) -> f64 {
        self.requests.values().sum::<u64>() as f64 / self.chunks as f64
    }

    /// The price of all requests, in US dollars.
    #[must_use]
    pub fn usd(&self) -> f64 {
        self.price(|_| true)
    }

    /// The price of the heartbeats alone, in US dollars.
    #[must_use]
    pub fn hearts_usd(&self) -> f64 {
        self.price(|what| matches!(what, "PUT beat" | "GET newer claim" | "GET cancel"))
    }

    fn price(&self, of: impl Fn(&str) -> bool) -> f64 {
        let price = |what: &str| if what.starts_with("GET") { READ_USD } else { WRITE_USD };
        self.requests
            .iter()
            .filter(|((_, what), _)| of(what))
            .map(|((_, what), n)| price(what) * *n as f64)
            .sum()
    }
}

impl fmt::Display for BoardCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  {:.2} requests per chunk, ${:.3}, of it hearts ${:.4}; last commit stored at {:.2?}, the end seen at {:.2?}; \
             commit to seen: median {:.2?}, at most {:.2?}",
            self.per_chunk(),
            self.usd(),
            self.hearts_usd(),
            self.stored,
            self.seen,
            self.median,
            self.latest
        )?;
        for ((who, what), count) in &self.requests {
            writeln!(f, "    {who:6} {what:18} {:8.3} per chunk", *count as f64 / self.chunks as f64)?;
        }
        Ok(())
    }
}

/// What a request is of.
fn kind(request: &Request) -> &'static str {
    match request {
        Request::Put { key, .. } if key.starts_with("claims/") => "PUT claim",
        Request::Put { key, .. } if key.starts_with(keys::BEATS) => "PUT beat",
        Request::Put { key, .. } if key.starts_with("outcomes/") => "PUT outcomes",
        Request::Put { key, .. } if key.starts_with(keys::COMMITS) => "PUT commit",
        Request::Put { .. } => "PUT mark",
        Request::Get { key } if key.starts_with("claims/") => "GET newer claim",
        Request::Get { key } if key == keys::CANCEL => "GET cancel",
        Request::Get { key } if key == keys::HANDED_BACK => "GET handed back",
        Request::Get { .. } => "GET beat",
        Request::List { prefix } if prefix.starts_with("claims/") => "LIST claims",
        Request::List { prefix } if prefix.starts_with(keys::COMMITS) => "LIST commits",
        Request::List { .. } => "LIST marks",
    }
}

#[derive(Debug)]
enum Event {
    WorkerAnswered(usize, Lane, BoardAnswer),
    WorkerWakes(usize, u64),
    ChunkRan(usize, u64, u64),
    ClientAnswered(usize, BoardAnswer),
    ClientWakes(u64),
}

#[derive(Debug)]
struct Worker {
    board: BoardWorker,
    began: u64,
    waits: u64,
    order: VecDeque<(u64, u64)>,
    is_live: bool,
}

#[derive(Debug)]
struct Run {
    job: BoardJob,
    now: u64,
    events: BTreeMap<u64, Event>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    count: u64,
    store: BTreeMap<String, Bytes>,
    committed_at: BTreeMap<u64, u64>,
    delays: Vec<u64>,
    cost: BoardCost,
}

/// Plays a job in virtual time, and returns what its board has cost until the client saw its end.
#[must_use]
pub fn board_cost(job: BoardJob) -> BoardCost {
    let chunks = Chunks::new(job.calls, job.chunksize);
    let lease_config = LeaseConfig::default().for_workers(job.workers);
    let mut run = Run {
        job,
        now: 0,
        events: BTreeMap::new(),
        queue: BinaryHeap::new(),
        count: 0,
        store: BTreeMap::new(),
        committed_at: BTreeMap::new(),
        delays: Vec::new(),
        cost: BoardCost { chunks: chunks.count(), ..BoardCost::default() },
    };
    let mut random = Random::new(7);
    let mut workers = Vec::new();
    for index in 0..job.workers as usize {
        let board = BoardWorker::new(&format!("worker-{index}"), chunks, lease_config);
        let began = random.below(START);
        run.at(began, Event::WorkerWakes(index, 0));
        workers.push(Worker { board, began, waits: 0, order: VecDeque::new(), is_live: true });
    }
    let mut client = BoardClient::new("client", chunks, lease_config);
    let mut waits = 0;
    run.at(0, Event::ClientWakes(0));
    while let Some(Reverse((now, number))) = run.queue.pop() {
        run.now = now;
        let is_over = match run.events.remove(&number) {
            Some(Event::ClientWakes(count)) if count == waits => run.step_client(&mut client, &mut waits),
            Some(Event::ClientAnswered(lane, answer)) => {
                client.answered(lane, answer, Duration::from_micros(now));
                run.step_client(&mut client, &mut waits)
            }
            Some(Event::WorkerWakes(index, count)) if count == workers[index].waits => {
                run.step_worker(index, &mut workers[index]);
                false
            }
            Some(Event::WorkerAnswered(index, lane, answer)) => {
                let worker = &mut workers[index];
                worker.board.answered(lane, answer, Duration::from_micros(now - worker.began));
                run.step_worker(index, worker);
                false
            }
            Some(Event::ChunkRan(index, chunk, epoch)) => {
                let worker = &mut workers[index];
                let (first, end) = chunks.calls_of(chunk);
                worker.board.ran(chunk, epoch, first, end, &Bytes::from("report"));
                run.step_worker(index, worker);
                false
            }
            _ => false,
        };
        if is_over {
            break;
        }
    }
    run.delays.sort_unstable();
    run.cost.seen = Duration::from_micros(run.now);
    run.cost.latest = Duration::from_micros(run.delays.last().copied().unwrap_or(0));
    run.cost.median = Duration::from_micros(run.delays.get(run.delays.len() / 2).copied().unwrap_or(0));
    run.cost
}

/// The whole microseconds of a time, rounded up: one that is rounded down has not come.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

impl Run {
    fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((time, self.count)));
        self.events.insert(self.count, event);
    }

    /// Performs a request, which takes effect in the middle of its time. Returns the answer and when it arrives.
    fn ask(&mut self, who: &'static str, request: Request) -> (BoardAnswer, u64) {
        let kind = kind(&request);
        let takes = self.job.request_time.as_micros() as u64;
        let mut pages = 1;
        let answer = match request {
            Request::Get { key } => {
                self.store.get(&key).cloned().map_or(BoardAnswer::Absent, BoardAnswer::Found)
            }
            Request::List { prefix } => {
                let from = self.store.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
                let listed: Vec<_> =
                    from.map(|(key, _)| key.clone()).take_while(|key| key.starts_with(&prefix)).collect();
                pages = (listed.len() as u64).div_ceil(LISTED).max(1);
                BoardAnswer::Listed(listed)
            }
            Request::Put { key, if_absent: true, .. } if self.store.contains_key(&key) => BoardAnswer::Exists,
            Request::Put { key, bytes, .. } => {
                if let Some(chunk) = keys::read_commit(&key) {
                    self.committed_at.insert(chunk, self.now);
                    self.cost.stored = Duration::from_micros(self.now);
                }
                self.store.insert(key, bytes);
                BoardAnswer::Stored
            }
        };
        *self.cost.requests.entry((who, kind)).or_default() += pages;
        (answer, self.now + takes * pages)
    }

    fn step_worker(&mut self, index: usize, worker: &mut Worker) {
        let now = Duration::from_micros(self.now - worker.began);
        while worker.is_live {
            match worker.board.poll(now) {
                Action::Ask(lane, request) => {
                    let (answer, arrives) = self.ask("worker", request);
                    self.at(arrives, Event::WorkerAnswered(index, lane, answer));
                }
                Action::RunCalls { chunk, epoch, .. } => worker.order.push_back((chunk, epoch)),
                Action::StopCalls { .. } => {}
                Action::Done(_) => worker.is_live = false,
                Action::Wait(until) => {
                    worker.waits += 1;
                    if let Some(until) = until {
                        let time = (worker.began + micros(until)).max(self.now);
                        self.at(time, Event::WorkerWakes(index, worker.waits));
                    }
                    break;
                }
            }
        }
        while let Some((chunk, epoch)) = worker.order.pop_front() {
            let takes = self.job.chunk_time.as_micros() as u64;
            self.at(self.now + takes, Event::ChunkRan(index, chunk, epoch));
        }
    }

    /// Returns whether the client has seen the end of the job.
    fn step_client(&mut self, client: &mut BoardClient, waits: &mut u64) -> bool {
        while let Some(chunk) = client.take_committed() {
            self.delays.push(self.now - self.committed_at[&chunk]);
        }
        loop {
            match client.poll(Duration::from_micros(self.now)) {
                ClientAction::Ask(lane, request) => {
                    let (answer, arrives) = self.ask("client", request);
                    self.at(arrives, Event::ClientAnswered(lane, answer));
                }
                ClientAction::Wait(until) => {
                    *waits += 1;
                    if let Some(until) = until {
                        let time = micros(until).max(self.now);
                        self.at(time, Event::ClientWakes(*waits));
                    }
                    return false;
                }
                ClientAction::Done => return true,
            }
        }
    }
}
