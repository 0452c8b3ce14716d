//! [`Budget`]: how many failures of workers a job tolerates before it ends with an error.

use crate::error::{Error, ErrorKind, Result};

/// The job fails when this many workers in a row have ended before they said hello, and no other worker is
/// live.
const NOT_STARTED: u32 = 5;
/// The job fails when this many workers in a row (or four times the most live workers) were lost without the
/// report of any call. The number is high because a single call that kills its worker costs several.
const LOST: u32 = 50;
/// A job in which calls were reported may end with this many calls that kill their workers. They take turns, so
/// that each of them may be lost as often as it may before the first is given up.
const LETHAL: u32 = 32;
/// The job fails when this many workers in all have broken the protocol: they reported calls that they were
/// not given, or sent frames that cannot be read.
const BROKEN: u32 = 3;
/// The job fails when calls have come back unstarted this many times in a row (or four times for each live
/// worker).
const UNSTARTED: u32 = 40;

/// Counts of failures: since the last call was run, except `broken`, which counts over the whole job.
#[derive(Debug)]
pub(super) struct Budget {
    /// How many workers a call that kills each of them costs until it is given up.
    cost_of_call: u32,
    not_started: u32,
    lost: u32,
    /// How many calls were given up because their workers were lost.
    given_up: u32,
    /// Whether any call was ever reported.
    works: bool,
    broken: u32,
    unstarted: u32,
    /// The most workers that have lived at once.
    most: u32,
}

impl Budget {
    /// The budget of a job whose calls are given up after they were lost `losses` times and once more.
    pub(super) fn new(losses: u32) -> Self {
        // All live workers may die of one thing, and of another one soon after.
        let cost_of_call = losses.saturating_add(1).max(4);
        Self {
            cost_of_call,
            not_started: 0,
            lost: 0,
            given_up: 0,
            works: false,
            broken: 0,
            unstarted: 0,
            most: 0,
        }
    }

    /// Notes how many workers live.
    pub(super) fn live(&mut self, workers: usize) {
        self.most = self.most.max(u32::try_from(workers).unwrap_or(u32::MAX));
    }

    /// Calls were run, successful or not: the counts start again.
    pub(super) fn went_on(&mut self) {
        (self.not_started, self.lost, self.given_up, self.unstarted) = (0, 0, 0, 0);
        self.works = true;
    }

    /// A worker has ended before it said hello. `the_last` says that no other worker is live.
    pub(super) fn not_started(&mut self, the_last: bool, reason: &str) -> Result<()> {
        self.not_started = self.not_started.saturating_add(1);
        if self.not_started < NOT_STARTED || !the_last {
            return Ok(());
        }
        let count = self.not_started;
        let problem =
            format!("{count} workers in a row ended before they could be given calls; of the last: {reason}");
        Err(Error::new(ErrorKind::WorkerLost, problem).with_hint(
            "does the program that plays the worker call `lithops::init()` first thing in `main`, and may this user \
             start more processes (`ulimit -u`, `ulimit -n`, `ulimit -v`)?",
        ))
    }

    /// Calls have got their final outcome because their workers were lost.
    pub(super) fn gave_up(&mut self, calls: usize) {
        self.given_up = self.given_up.saturating_add(u32::try_from(calls).unwrap_or(u32::MAX));
    }

    /// A worker was lost after its start.
    pub(super) fn lost(&mut self, reason: &str) -> Result<()> {
        self.lost = self.lost.saturating_add(1);
        let lethal = if self.works { LETHAL + self.given_up.min(LETHAL) } else { 0 };
        let limit = self.most.saturating_add(lethal).saturating_mul(self.cost_of_call);
        if self.lost < LOST.max(limit) {
            return Ok(());
        }
        let count = self.lost;
        let problem = format!(
            "{count} workers in a row were lost, and not one call was reported; of the last: {reason}"
        );
        Err(Error::new(ErrorKind::WorkerLost, problem))
    }

    /// A worker has broken the protocol.
    pub(super) fn broken(&mut self, reason: &str) -> Result<()> {
        self.broken = self.broken.saturating_add(1);
        if self.broken < BROKEN {
            return Ok(());
        }
        let problem = format!("{} workers had to be ended; of the last: {reason}", self.broken);
        Err(Error::new(ErrorKind::WorkerLost, problem))
    }

    /// A report has returned only calls that were not begun.
    pub(super) fn unstarted(&mut self) -> Result<()> {
        self.unstarted = self.unstarted.saturating_add(1);
        if self.unstarted < UNSTARTED.max(self.most.saturating_mul(4)) {
            return Ok(());
        }
        let problem = format!("workers gave calls back {} times in a row, and began none", self.unstarted);
        Err(Error::new(ErrorKind::WorkerLost, problem)
            .with_hint("is the time that the platform gives a worker long enough for it to begin a call?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_again_and_again_ends_the_job_and_what_goes_on_begins_anew() {
        let mut budget = Budget::new(3);
        for _ in 0..3 {
            assert!((1..NOT_STARTED).all(|_| budget.not_started(true, "it exited").is_ok()));
            assert!((1..LOST).all(|_| budget.lost("it died").is_ok()));
            assert!((1..UNSTARTED).all(|_| budget.unstarted().is_ok()));
            budget.went_on();
        }
        let mut budget = Budget::new(3);
        assert!((0..NOT_STARTED * 2).all(|_| budget.not_started(false, "others are there").is_ok()));
        assert!(
            budget.not_started(true, "it exited").is_err_and(|error| error.to_string().contains("it exited"))
        );
        budget.live(100);
        assert!((1..400).all(|_| budget.lost("it died").is_ok()), "they may all have died of one thing");
        assert!(budget.lost("it died").is_err());
        assert!((1..BROKEN).all(|_| budget.broken("it lies").is_ok()));
        budget.went_on();
        assert!(budget.broken("it lies").is_err(), "that it goes on does not excuse it");
    }

    #[test]
    fn a_job_may_end_with_calls_that_kill_their_workers() {
        let mut budget = Budget::new(8);
        budget.live(6);
        budget.went_on();
        // They take turns: before the first is given up, each of them has killed eight workers.
        assert!((0..30 * 8).all(|_| budget.lost("it died").is_ok()));
        for _ in 0..30 {
            assert!(budget.lost("it died").is_ok());
            budget.gave_up(1);
        }
        let lost = (0..1000).take_while(|_| budget.lost("it died").is_ok()).count();
        assert!(lost < 500, "where nothing but losses happens, the job ends: {lost}");
        let mut hopeless = Budget::new(8);
        let lost = (0..1000).take_while(|_| hopeless.lost("it died").is_ok()).count();
        assert_eq!(lost + 1, LOST as usize, "and soon where no call has ever ended");
    }
}
