//! A simulated worker: the board's worker, and calls that take their time, fail, and kill.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lithops_core::{
    board::{Action, BoardWorker, Lane},
    bytes::Bytes,
    tracker::Ranges,
};

use super::{
    super::{Violation, random::Random},
    PullSabotage, PullScenario,
    events::{Clock, What, Who, World},
};

/// How many bytes of a report are about one call: whether it has failed, and its number.
const RECORD: usize = 9;

/// A worker from its start to its end.
#[derive(Debug)]
pub(super) struct SimulatedWorker {
    index: usize,
    board: BoardWorker,
    clock: Clock,
    random: Random,
    /// Of notices to leave, so that the other faults of a seed are what they are without them.
    random_notice: Random,
    slow: bool,
    waits: u64,
    paused_until: u64,
    calls: VecDeque<(u64, u64, u64)>,
    running: usize,
    /// The calls that run, but for those that were stopped; and these, which run on for a while.
    at_work: Vec<(u64, u64, u64)>,
    stopped: Vec<(u64, u64, u64)>,
    /// Calls that have ended and were not reported, by chunk and epoch.
    ended: BTreeMap<(u64, u64), Ranges>,
    is_live: bool,
    /// Whether it was told to leave.
    is_told: bool,
}

/// The lanes of a worker as the simulator numbers them.
const LANES: [Lane; 2] = [Lane::Beat, Lane::Board];

impl SimulatedWorker {
    pub(super) fn new(index: usize, name: &str, world: &mut World) -> Self {
        world.begins(index);
        let scenario = &world.scenario;
        let lease_config = world
            .sabotage
            .map_or(scenario.lease_config, |sabotage| sabotage.lease_config(scenario.lease_config));
        let mut random = Random::new(scenario.seed.rotate_left(11) ^ index as u64);
        world.live += 1;
        world.most_live = world.most_live.max(world.live);
        Self {
            index,
            board: BoardWorker::new(name, scenario.chunks(), lease_config),
            clock: Clock::new(world.now, &mut random),
            slow: random.happens(scenario.slow),
            random_notice: Random::new(scenario.seed.rotate_left(47) ^ index as u64),
            random,
            waits: 0,
            paused_until: 0,
            calls: VecDeque::new(),
            running: 0,
            at_work: Vec::new(),
            stopped: Vec::new(),
            ended: BTreeMap::new(),
            is_live: true,
            is_told: false,
        }
    }

    /// Lets something happen to it, unless it is dead; or later, when it is paused.
    pub(super) fn happens(&mut self, what: What, world: &mut World) {
        if !self.is_live {
            return;
        }
        if world.now >= self.paused_until && self.random.happens(world.scenario.pauses) {
            let lease = world.scenario.lease_config.lease.as_micros() as u64;
            let time = lease + self.random.below(4 * lease);
            self.paused_until = world.now + time;
            if self.random.happens(500) {
                self.clock.freeze(time);
            }
        }
        if world.now < self.paused_until {
            // It has begun; it must not begin again.
            let what = if let What::Begins(who, _) = what { What::Wakes(who, self.waits) } else { what };
            return world.at(self.paused_until, what);
        }
        match what {
            What::Answers(_, lane, answer) => {
                self.board.answered(LANES[lane % 2], answer, self.clock.read(world.now));
            }
            What::Wakes(_, count) if count != self.waits => return,
            What::CallEnds(_, chunk, epoch, call) => {
                let scenario = &world.scenario;
                if scenario.is_poisonous(call) || self.random.happens(scenario.dies_at_call) {
                    return self.dies(world);
                }
                self.running -= 1;
                // The end of a call that was stopped says nothing of the same call, if it was ordered anew.
                if let Some(at) = self.stopped.iter().position(|stopped| *stopped == (chunk, epoch, call)) {
                    self.stopped.swap_remove(at);
                    // A worker reports what has ended before long, whatever else runs.
                    if self.running == 0 {
                        self.report(&world.scenario);
                    }
                    return self.go_on(world);
                }
                if !self.is_told && self.random_notice.happens(scenario.told_to_leave) {
                    self.is_told = true;
                    self.board.leave();
                    let grace = scenario.lease_config.lease.as_micros() as u64;
                    let over = world.now + self.random_notice.below(grace);
                    world.at(over, What::MustLeave(self.index));
                }
                let scenario = &world.scenario;
                self.at_work.retain(|running| *running != (chunk, epoch, call));
                self.ended.entry((chunk, epoch)).or_default().insert(call, call + 1);
                if self.running == 0 || epoch > 1 || self.random.happens(300) {
                    self.report(scenario);
                }
            }
            What::MustLeave(_) => self.hand_back(world),
            _ => {}
        }
        if self.is_told && self.at_work.is_empty() {
            self.hand_back(world);
        }
        self.go_on(world);
    }

    /// Tells what it has, and hands the rest back.
    fn hand_back(&mut self, world: &World) {
        self.report(&world.scenario);
        self.board.hand_back();
    }

    fn go_on(&mut self, world: &mut World) {
        let now = self.clock.read(world.now);
        loop {
            match self.board.poll(now) {
                Action::Ask(lane, request) => {
                    world.ask(Who::Worker(self.index), usize::from(lane == LANES[1]), request);
                    if self.random.happens(world.scenario.dies_at_operation) {
                        return self.dies(world);
                    }
                }
                Action::RunCalls { chunk, epoch, first, end } => {
                    self.calls.extend((first..end).map(|call| (chunk, epoch, call)));
                }
                Action::StopCalls { .. } if self.runs_on(world) => {}
                Action::StopCalls { chunk, epoch } => {
                    self.calls.retain(|(of, at, _)| (*of, *at) != (chunk, epoch));
                    self.ended.remove(&(chunk, epoch));
                    self.stopped
                        .extend(self.at_work.extract_if(.., |(of, at, _)| (*of, *at) == (chunk, epoch)));
                }
                Action::Wait(until) => {
                    self.waits += 1;
                    if let Some(until) = until {
                        let wakes = What::Wakes(Who::Worker(self.index), self.waits);
                        world.at(self.clock.when(until), wakes);
                    }
                    break;
                }
                Action::Done(_) if self.runs_on(world) => break,
                Action::Done(_) => return self.dies(world),
            }
        }
        while self.running < world.scenario.worker_processes
            && let Some((chunk, epoch, call)) = self.calls.front().copied()
            && (self.board.may_start(chunk, epoch, now) || self.runs_on(world))
        {
            if world.is_handed_back(chunk, epoch) && !world.scenario.is_tampered() {
                let what = format!("call {call} was begun in epoch {epoch}, which was handed back");
                world.store.violation.get_or_insert((Violation::RunsAfterLeaving, what));
            }
            self.calls.pop_front();
            self.at_work.push((chunk, epoch, call));
            self.running += 1;
            *world.runs.entry((call, epoch)).or_default() += 1;
            let mut takes = Duration::from_millis(1 + self.random.below(40));
            if self.slow {
                takes *= 200;
            }
            if self.random.happens(world.scenario.long_calls) {
                takes += world.scenario.lease_config.lease * 2;
            }
            world.after(takes, What::CallEnds(self.index, chunk, epoch, call));
        }
    }

    /// Whether it is broken, and goes on with its calls after it has handed them back.
    fn runs_on(&self, world: &World) -> bool {
        self.is_told && !self.calls.is_empty() && world.sabotage == Some(PullSabotage::LeavesAndRunsOn)
    }

    /// Reports what has ended.
    fn report(&mut self, scenario: &PullScenario) {
        for ((chunk, epoch), ended) in std::mem::take(&mut self.ended) {
            for (first, end) in ended.iter() {
                self.board.ran(chunk, epoch, first, end, &report(scenario, first, end));
            }
        }
    }

    fn dies(&mut self, world: &mut World) {
        self.is_live = false;
        world.ended.insert(self.index);
        world.live -= 1;
    }

    /// Says whether it is still there.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }
}

/// The report of the calls `first..end`.
fn report(scenario: &PullScenario, first: u64, end: u64) -> Bytes {
    let mut report = Vec::new();
    for call in first..end {
        report.push(u8::from(scenario.is_failing(call)));
        report.extend_from_slice(&call.to_le_bytes());
    }
    report.into()
}

/// Whether a report that begins with call `first` says of a call what is true.
pub(super) fn is_right(scenario: &PullScenario, report: &[u8], first: u64, call: u64) -> bool {
    let at = (call - first) as usize * RECORD;
    let right = self::report(scenario, call, call + 1);
    report.get(at..at + RECORD) == Some(&right[..])
}
