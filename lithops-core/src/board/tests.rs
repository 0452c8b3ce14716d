//! Workers and a client on a board in memory, step by step, in an order that a generator chooses.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use proptest::prelude::*;

use crate::{board::*, bytes::Bytes};

/// The result of an operation of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    Well,
    /// The operation fails and has not happened.
    Fails,
    /// The operation fails but has happened.
    FailsAfter,
}

#[derive(Debug)]
pub(super) struct Participant {
    pub(super) board: BoardWorker,
    asked: BTreeMap<Lane, Request>,
    calls: VecDeque<(u64, u64, u64)>,
    until: Option<Duration>,
    pub(super) alive: bool,
    end: Option<End>,
}

#[derive(Debug)]
pub(super) struct Board {
    chunks: Chunks,
    pub(super) lease_config: LeaseConfig,
    pub(super) now: Duration,
    pub(super) store: BTreeMap<String, Bytes>,
    client: BoardClient,
    client_asked: VecDeque<(usize, Request)>,
    max_workers: u64,
    client_until: Option<Duration>,
    pub(super) workers: Vec<Participant>,
    poison: BTreeSet<u64>,
    runs: BTreeMap<(u64, u64), u32>,
    committed: Vec<u64>,
    operations: BTreeMap<&'static str, u32>,
    /// Keys that are listed but not found.
    pub(super) hidden: BTreeSet<String>,
    /// Whether a key was removed that no participant of a board removes.
    pub(super) tampered: bool,
}

impl Board {
    pub(super) fn new(calls: u64, chunksize: u64, max_workers: u64, poison: &[u64]) -> Self {
        let chunks = Chunks::new(calls, chunksize);
        let lease_config = LeaseConfig { losses: 2, ..LeaseConfig::default() };
        Self {
            chunks,
            lease_config,
            now: Duration::ZERO,
            store: BTreeMap::new(),
            client: BoardClient::new("client", chunks, lease_config),
            client_asked: VecDeque::new(),
            max_workers,
            client_until: None,
            workers: Vec::new(),
            poison: poison.iter().copied().collect(),
            runs: BTreeMap::new(),
            committed: Vec::new(),
            operations: BTreeMap::new(),
            hidden: BTreeSet::new(),
            tampered: false,
        }
    }

    fn operate(&mut self, request: &Request, luck: Luck) -> BoardAnswer {
        let (what, answer) = match request {
            _ if luck == Luck::Fails => ("fail", BoardAnswer::Failed),
            Request::Put { key, if_absent: true, .. } if self.store.contains_key(key) => {
                ("put", BoardAnswer::Exists)
            }
            Request::Put { key, bytes, .. } => {
                self.store.insert(key.clone(), bytes.clone());
                (if key.starts_with(keys::BEATS) { "beat" } else { "put" }, BoardAnswer::Stored)
            }
            Request::Get { key } if self.hidden.contains(key) => ("get", BoardAnswer::Absent),
            Request::Get { key } => {
                ("get", self.store.get(key).cloned().map_or(BoardAnswer::Absent, BoardAnswer::Found))
            }
            Request::List { prefix } => {
                let from = self.store.range(prefix.clone()..);
                let keys = from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned();
                ("list", BoardAnswer::Listed(keys.collect()))
            }
        };
        *self.operations.entry(what).or_default() += 1;
        if luck == Luck::FailsAfter { BoardAnswer::Failed } else { answer }
    }

    fn step_client(&mut self, luck: Luck) -> bool {
        if !self.client_asked.is_empty() {
            let lane = self.client_asked.len() / 2;
            let (lane, request) = self.client_asked.remove(lane).expect("there is one");
            let answer = self.operate(&request, luck);
            self.client.answered(lane, answer, self.now);
            self.committed.extend(std::iter::from_fn(|| self.client.take_committed()));
            self.start_workers();
            return true;
        }
        match self.client.poll(self.now) {
            ClientAction::Ask(lane, request) => {
                assert!(self.client_asked.iter().all(|(other, _)| *other != lane), "one at a time");
                self.client_asked.push_back((lane, request));
            }
            ClientAction::Wait(until) => {
                self.client_until = until;
                return false;
            }
            ClientAction::Done => return false,
        }
        true
    }

    /// What a platform does: it knows which workers have ended, and starts others.
    fn start_workers(&mut self) {
        if self.client.is_cancelled() {
            return;
        }
        // A worker that sees the end of the job stays in its fleet.
        let is_live =
            |worker: &&Participant| worker.alive && matches!(worker.end, None | Some(End::Finished));
        let live = self.workers.iter().filter(is_live).count() as u64;
        for _ in live..self.client.open().min(self.max_workers) {
            let name = format!("worker-{}", self.workers.len());
            let board = BoardWorker::new(&name, self.chunks, self.lease_config);
            let (asked, calls) = (BTreeMap::new(), VecDeque::new());
            self.workers.push(Participant { board, asked, calls, until: None, alive: true, end: None });
        }
    }

    /// Lets a worker do one step; `choice` selects the step where several are possible.
    pub(super) fn step_worker(&mut self, index: usize, choice: u64, luck: Luck) -> bool {
        let now = self.now;
        let worker = &mut self.workers[index];
        if !worker.alive || worker.end.is_some() {
            return false;
        }
        if let Some((chunk, epoch, call)) = worker.calls.front().copied()
            && choice.is_multiple_of(3)
            && worker.board.may_start(chunk, epoch, now)
        {
            worker.calls.pop_front();
            *self.runs.entry((call, epoch)).or_default() += 1;
            if self.poison.contains(&call) {
                worker.alive = false;
            } else {
                worker.board.ran(chunk, epoch, call, call + 1, &Bytes::from(call.to_string()));
            }
            return true;
        }
        match worker.board.poll(now) {
            Action::Ask(lane, request) => {
                assert!(worker.asked.insert(lane, request).is_none(), "one at a time");
            }
            Action::RunCalls { chunk, epoch, first, end } => {
                worker.calls.extend((first..end).map(|call| (chunk, epoch, call)));
            }
            Action::StopCalls { chunk, epoch } => {
                worker.calls.retain(|(of, at, _)| (*of, *at) != (chunk, epoch));
            }
            Action::Done(end) => worker.end = Some(end),
            Action::Wait(until) => {
                worker.until = until;
                let waiting: Vec<_> = worker.asked.keys().copied().collect();
                let Some(lane) = waiting.get(choice as usize % waiting.len().max(1)) else {
                    return worker
                        .calls
                        .front()
                        .is_some_and(|(chunk, epoch, _)| worker.board.may_start(*chunk, *epoch, now));
                };
                let request = worker.asked.remove(lane).expect("it is there");
                let answer = self.operate(&request, luck);
                self.workers[index].board.answered(*lane, answer, now);
            }
        }
        true
    }

    /// Lets all participants continue until all are done.
    pub(super) fn finish(&mut self) {
        for round in 0..200_000 {
            let mut busy = self.step_client(Luck::Well);
            for index in 0..self.workers.len() {
                busy |= self.step_worker(index, round, Luck::Well);
            }
            let done = self.workers.iter().all(|worker| !worker.alive || worker.end.is_some());
            if done && self.client.is_finished() {
                return;
            }
            if !busy && round % 3 == 0 {
                let live = self.workers.iter().filter(|worker| worker.alive && worker.end.is_none());
                let until = live.filter_map(|worker| worker.until).chain(self.client_until);
                self.now = until.filter(|until| *until > self.now).min().unwrap_or(self.now);
            }
            self.now += Duration::from_millis(1);
        }
        panic!("it does not end: {self:#?}");
    }

    /// Like `finish`, but calls may have run twice in an epoch, because its claim was removed.
    pub(super) fn finish_with_repeats(&mut self) {
        self.tampered = true;
        self.finish();
        assert_eq!(self.judge(), (vec![], vec![]));
    }

    /// Checks what must hold after every run. Returns the calls that are lost, and those that are cancelled.
    pub(super) fn judge(&self) -> (Vec<u64>, Vec<u64>) {
        let mut seen = self.committed.clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..self.chunks.count()).collect::<Vec<_>>(), "each chunk is seen once");
        let once = self.runs.values().all(|runs| *runs == 1);
        assert!(once || self.tampered, "once in an epoch: {:?}", self.runs);
        let (mut lost, mut cancelled) = (Vec::new(), Vec::new());
        for chunk in 0..self.chunks.count() {
            let (first, end) = self.chunks.calls_of(chunk);
            let bundle = CommittedChunk::decode(&self.store[&keys::commit(chunk)], first, end).unwrap();
            for OutcomeRange { first, end, content } in bundle.parts {
                match content {
                    Content::Lost { .. } => lost.extend(first..end),
                    Content::Cancelled => cancelled.extend(first..end),
                    Content::Reported { report, .. } => assert_eq!(*report, *first.to_string().as_bytes()),
                }
            }
        }
        (lost, cancelled)
    }

    /// Removes all keys with a prefix. Returns their number.
    pub(super) fn vanish(&mut self, prefix: &str) -> usize {
        let before = self.store.len();
        self.store.retain(|key, _| !key.starts_with(prefix));
        before - self.store.len()
    }

    /// Lets all participants continue until this many calls have run.
    pub(super) fn until_run(&mut self, calls: usize) {
        while self.runs.len() < calls {
            self.step_client(Luck::Well);
            for index in 0..self.workers.len() {
                self.step_worker(index, 0, Luck::Well);
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn epochs(&self, chunk: u64) -> usize {
        let epochs = self.store.keys().filter_map(|key| keys::read_claim(key));
        epochs.filter(|(of, _)| *of == chunk).count()
    }
}

#[test]
fn a_job_that_goes_well_costs_two_puts_a_chunk_and_a_report_for_each_but_the_last() {
    let mut board = Board::new(40, 4, 1, &[]);
    board.finish();
    assert_eq!(board.judge(), (vec![], vec![]));
    assert_eq!(board.workers.len(), 1);
    // Each of the 10 chunks takes a claim and a commit, and at most three reports for its four calls.
    assert!(board.operations["put"] <= 10 * 5, "{:?}", board.operations);
}

#[test]
fn more_chunks_than_a_page_and_many_workers() {
    let mut board = Board::new(2100, 1, 12, &[]);
    board.finish();
    assert_eq!(board.judge(), (vec![], vec![]));
    assert!(board.workers.len() == 12 && board.runs.len() == 2100);
    let lists = board.operations["list"];
    assert!(lists < 2100, "{lists} listings");
}

#[test]
fn poison_is_found_and_its_neighbours_are_not_blamed() {
    // Two poison calls are at both ends of one chunk, and one is in another chunk.
    let mut board = Board::new(22, 7, 3, &[7, 13, 21]);
    board.finish();
    assert_eq!(board.judge().0, [7, 13, 21]);
    let epochs = [0, 1, 2, 3].map(|chunk| board.epochs(chunk));
    assert_eq!(epochs, [1, 1 + 3 + 3 + 1, 1, 1 + 3 + 1], "each is tried three times in order");
}

#[test]
fn a_job_that_is_cancelled_ends_and_what_is_committed_stays() {
    let mut board = Board::new(60, 2, 2, &[]);
    while board.committed.len() < 5 {
        board.step_client(Luck::Well);
        for index in 0..board.workers.len() {
            board.step_worker(index, 0, Luck::Well);
        }
        board.now += Duration::from_millis(100);
    }
    board.client.cancel();
    board.finish();
    let (lost, cancelled) = board.judge();
    assert!(lost.is_empty() && !cancelled.is_empty() && cancelled.len() <= 50, "{cancelled:?}");
    assert!(board.workers.iter().all(|worker| worker.end.is_some()));
}

#[test]
fn a_holder_that_was_asleep_gives_up_what_another_has_claimed() {
    let mut board = Board::new(8, 8, 1, &[]);
    while board.runs.len() < 2 {
        board.step_client(Luck::Well);
        if !board.workers.is_empty() {
            board.step_worker(0, 0, Luck::Well);
        }
    }
    board.workers[0].alive = false;
    let reported = board.store.keys().filter(|key| key.starts_with(&keys::outcomes(0))).count();
    board.finish();
    assert_eq!(board.epochs(0), 2);
    assert_eq!(board.runs.len(), 2 + 8 - reported, "what was reported is not run again: {:?}", board.runs);
    board.now += Duration::from_secs(3600);
    let sleeper = &mut board.workers[0];
    sleeper.alive = true;
    assert!(!sleeper.calls.is_empty(), "it was in the middle");
    let started =
        sleeper.calls.iter().filter(|(chunk, epoch, _)| sleeper.board.may_start(*chunk, *epoch, board.now));
    assert_eq!(started.count(), 0, "it looks first");
    board.finish();
    assert!(board.workers[0].calls.is_empty(), "it was told to stop");
    assert_eq!(board.workers[0].end, Some(End::Finished));
    assert_eq!(board.judge(), (vec![], vec![]));
}

#[test]
fn more_dead_holders_than_are_watched_at_once() {
    let mut board = Board::new(40, 1, 40, &[]);
    while (0..40).any(|chunk| board.epochs(chunk) == 0) {
        board.step_client(Luck::Well);
        for index in 0..board.workers.len() {
            if board.workers[index].calls.is_empty() {
                board.step_worker(index, 1, Luck::Well);
            }
        }
        board.now += Duration::from_millis(10);
    }
    board.workers.iter_mut().for_each(|worker| worker.alive = false);
    board.finish();
    assert_eq!(board.judge(), (vec![], vec![]));
    assert!(board.now < board.lease_config.lease * 6, "{:?}", board.now);
}

#[test]
fn what_a_leaving_worker_hands_back_is_claimed_at_once_and_counts_against_no_call() {
    // The first worker leaves in the middle of a chunk, a call of which kills each worker that runs it.
    let mut board = Board::new(16, 8, 2, &[3]);
    board.until_run(2);
    let held = board.store.keys().filter_map(|key| keys::read_claim(key)).count();
    let leaving = board.workers.iter().position(|worker| worker.board.may_start(0, 1, board.now));
    let leaving = leaving.expect("a worker holds chunk 0");
    board.workers[leaving].board.hand_back();
    while board.workers[leaving].end.is_none() {
        board.step_worker(leaving, 1, Luck::Well);
    }
    assert_eq!(board.workers[leaving].end, Some(End::Left));
    assert!(board.workers[leaving].calls.is_empty(), "what has not begun was taken back");
    assert!(board.store.contains_key(&keys::left(0, 1)) && held <= 2);
    let (before, lease) = (board.now, board.lease_config.lease);
    while !board.store.contains_key(&keys::claim(0, 2)) {
        board.step_client(Luck::Well);
        for index in 0..board.workers.len() {
            board.step_worker(index, 0, Luck::Well);
        }
        board.now += Duration::from_millis(100);
    }
    assert!(board.now - before < lease / 2, "{:?}", board.now - before);
    board.finish();
    assert_eq!(
        board.judge(),
        (vec![3], vec![]),
        "call 3, whose neighbours ran side by side in the second epoch"
    );
}

#[test]
fn a_worker_that_leaves_after_its_last_call_commits() {
    let mut board = Board::new(4, 4, 1, &[]);
    board.until_run(4);
    board.workers[0].board.leave();
    while board.workers[0].end.is_none() {
        board.step_worker(0, 1, Luck::Well);
    }
    assert!(board.store.contains_key(&keys::commit(0)) && !board.store.contains_key(&keys::left(0, 1)));
    board.finish();
    assert_eq!((board.epochs(0), board.judge()), (1, (vec![], vec![])));
}

#[test]
fn a_commit_that_is_found_damaged_while_a_cancelled_job_is_closed_is_committed_again() {
    let mut client = BoardClient::new("client", Chunks::new(20, 1), LeaseConfig::default());
    let mut store: BTreeSet<String> = (0..3).map(keys::commit).collect();
    let (mut now, mut has_reopened) = (Duration::ZERO, false);
    client.cancel();
    for _ in 0..1000 {
        match client.poll(now) {
            ClientAction::Ask(lane, request) => {
                let answer = match request {
                    Request::Put { key, .. } if store.insert(key.clone()) => BoardAnswer::Stored,
                    Request::Put { .. } => BoardAnswer::Exists,
                    Request::Get { .. } => BoardAnswer::Absent,
                    Request::List { prefix } => {
                        let listed = store.iter().filter(|key| key.starts_with(&prefix)).cloned();
                        BoardAnswer::Listed(listed.collect())
                    }
                };
                client.answered(lane, answer, now);
                // Most chunks are closed when the first commit turns out to be damaged.
                if client.open() < 5 && !std::mem::replace(&mut has_reopened, true) {
                    store.remove(&keys::commit(0));
                    client.reopened(0, now);
                }
            }
            ClientAction::Wait(until) => now = until.unwrap_or(now).max(now + Duration::from_millis(1)),
            ClientAction::Done => break,
        }
    }
    assert!(has_reopened && client.is_finished() && store.contains(&keys::commit(0)), "{client:?}");
}

#[test]
fn a_chunk_that_the_job_does_not_have_is_not_taken_over() {
    let mut board = Board::new(10, 1, 2, &[]);
    board.store.insert(keys::claim(500, 1), Bytes::from("nobody"));
    board.store.insert(keys::left(500, 1), Bytes::from("nobody"));
    board.store.insert(keys::HANDED_BACK.into(), Bytes::from("500 1 nobody"));
    board.finish();
    assert_eq!((board.judge(), board.epochs(500)), ((vec![], vec![]), 1));
}

fn luck(choice: u64) -> Luck {
    match choice % 8 {
        0 => Luck::Fails,
        1 => Luck::FailsAfter,
        _ => Luck::Well,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// In any order of steps every chunk is committed once, with the right outcomes, and the job
    /// ends. The steps include storage failures, workers that die, are suspended or leave, a client that
    /// is replaced, cancellation, claims, beats and reports that another program removes, and
    /// claims that no worker has made.
    #[test]
    fn every_chunk_is_committed_exactly_once(
        script in prop::collection::vec((0usize..6, any::<u64>(), 0u8..40), 0..400),
        calls in 1u64..30, chunksize in 1u64..8, cancelled in prop::bool::weighted(0.2),
        tampered in prop::bool::weighted(0.3),
    ) {
        let (mut board, mut leaving) = (Board::new(calls, chunksize, 4, &[]), BTreeSet::new());
        for (who, choice, event) in script {
            let worker = who.checked_sub(1).filter(|index| *index < board.workers.len());
            match (event, worker) {
                (0, Some(index)) => board.workers[index].alive = false,
                // The worker was only suspended.
                (1, Some(index)) => board.workers[index].alive = true,
                (2, _) => board.now += Duration::from_secs(choice % 40),
                (7, Some(index)) => {
                    board.workers[index].board.leave();
                    leaving.insert(index);
                }
                (8, Some(index)) => board.workers[index].board.hand_back(),
                (3, _) if cancelled => board.client.cancel(),
                (5, _) if tampered => {
                    let folder = ["claims/", "beat/", "outcomes/"][choice as usize % 3];
                    let of = board.store.keys().filter(|key| key.starts_with(folder)).count();
                    let nth = (choice / 3) as usize % of.max(1);
                    let key = board.store.keys().filter(|key| key.starts_with(folder)).nth(nth).cloned();
                    key.into_iter().for_each(|key| drop(board.store.remove(&key)));
                    board.tampered = true;
                }
                (6, _) if tampered => {
                    let epoch = [2, 5, keys::LAST_EPOCH, u64::MAX][choice as usize % 4];
                    let claim = keys::claim(choice / 4 % board.chunks.count(), epoch);
                    board.store.entry(claim).or_insert_with(|| Bytes::from("nobody"));
                }
                (4, None) if board.committed.is_empty() => {
                    let (chunks, lease_config) = (board.chunks, board.lease_config);
                    board.client = BoardClient::new("another", chunks, lease_config);
                    board.client_asked.clear();
                }
                (_, Some(index)) => {
                    board.step_worker(index, choice / 8, luck(choice));
                }
                (_, None) => {
                    board.step_client(luck(choice));
                }
            }
            board.now += Duration::from_millis(choice % 200);
        }
        leaving.into_iter().for_each(|index| board.workers[index].board.hand_back());
        board.finish();
        board.judge();
    }

    /// In any order of steps and storage failures, in which workers die only of poison calls:
    /// exactly those calls are lost.
    #[test]
    fn poison_and_only_poison_is_blamed(
        script in prop::collection::vec((0usize..6, any::<u64>()), 0..400),
        calls in 1u64..30, chunksize in 1u64..8, poison in prop::collection::btree_set(0u64..30, 0..4),
    ) {
        let poison: Vec<_> = poison.into_iter().filter(|call| *call < calls).collect();
        let mut board = Board::new(calls, chunksize, 4, &poison);
        for (who, choice) in script {
            match who.checked_sub(1).filter(|index| *index < board.workers.len()) {
                Some(index) => board.step_worker(index, choice / 8, luck(choice)),
                None => board.step_client(luck(choice)),
            };
            board.now += Duration::from_millis(choice % 10);
        }
        board.finish();
        prop_assert_eq!(board.judge(), (poison, vec![]));
    }
}
