//! A simulated client: the board's client, and a platform that starts workers for it.

use std::{collections::BTreeMap, time::Duration};

use lithops_core::{
    board::{BoardClient, ClientAction, keys},
    bytes::Bytes,
};

use super::{
    super::{Violation, random::Random},
    events::{Clock, What, Who, World},
};

/// How long the platform waits for a worker that never begins.
const START: Duration = Duration::from_secs(30);

/// A client from its start to its end.
#[derive(Debug)]
pub(super) struct SimulatedClient {
    index: usize,
    board: BoardClient,
    clock: Clock,
    random: Random,
    waits: u64,
    /// The workers that its platform has started, and of those that never begin, until when they are waited for.
    started: BTreeMap<usize, Option<Duration>>,
    /// What it saw of each chunk when it was told of its commit.
    pub(super) seen: BTreeMap<u64, Bytes>,
    pub(super) is_dead: bool,
}

impl SimulatedClient {
    pub(super) fn new(index: usize, name: &str, world: &World) -> Self {
        let scenario = &world.scenario;
        let mut random = Random::new(scenario.seed.rotate_left(37) ^ index as u64);
        Self {
            index,
            board: BoardClient::new(name, scenario.chunks(), scenario.lease_config),
            clock: Clock::new(world.now, &mut random),
            random,
            waits: 0,
            started: BTreeMap::new(),
            seen: BTreeMap::new(),
            is_dead: false,
        }
    }

    /// Lets something happen to it, unless it is dead.
    pub(super) fn happens(&mut self, what: What, world: &mut World) -> Result<(), (Violation, String)> {
        if self.is_dead {
            return Ok(());
        }
        let now = self.clock.read(world.now);
        match what {
            What::Answers(_, lane, answer) => self.board.answered(lane, answer, now),
            What::Wakes(_, count) if count != self.waits => return Ok(()),
            What::Dies(_) => {
                self.is_dead = true;
                return Ok(());
            }
            What::Cancels => self.board.cancel(),
            _ => {}
        }
        while let Some(chunk) = self.board.take_committed() {
            let commit = world.store.get(&keys::commit(chunk)).cloned();
            let commit = commit.ok_or((Violation::WrongOutcome, format!("chunk {chunk} has no commit")))?;
            if self.seen.insert(chunk, commit).is_some() {
                return Err((Violation::CommittedTwice, format!("chunk {chunk} was seen twice")));
            }
        }
        self.scale(now, world);
        loop {
            match self.board.poll(now) {
                ClientAction::Ask(lane, request) => world.ask(Who::Client(self.index), lane, request),
                ClientAction::Wait(until) => {
                    self.waits += 1;
                    if let Some(until) = until {
                        let wakes = What::Wakes(Who::Client(self.index), self.waits);
                        world.at(self.clock.when(until), wakes);
                    }
                    return Ok(());
                }
                ClientAction::Done => return Ok(()),
            }
        }
    }

    /// What its platform does: it starts workers until enough live, and knows which have ended.
    fn scale(&mut self, now: Duration, world: &mut World) {
        if self.board.is_cancelled() {
            return;
        }
        self.started.retain(|index, given_up| match given_up {
            Some(given_up) => now < *given_up,
            None => !world.ended.contains(index),
        });
        let wanted = self.board.open().min(world.scenario.max_workers);
        for _ in self.started.len() as u64..wanted {
            world.started += 1;
            let (index, name) = (world.started, format!("worker-{}", world.started));
            if self.random.happens(world.scenario.never_starts) {
                self.started.insert(index, Some(now + START));
                continue;
            }
            self.started.insert(index, None);
            let takes = Duration::from_millis(50 + self.random.below(3000));
            world.after(takes, What::Begins(Who::Worker(index), name));
        }
    }

    /// Whether it has seen the end of the job.
    pub(super) fn is_finished(&self) -> bool {
        self.board.is_finished()
    }
}
