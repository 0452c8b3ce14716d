//! [`Health`]: whether a service that has failed is worth further requests, judged by its answers until now.
//!
//! One answer that cannot be understood, or one refusal after many successes, says nothing about the next answer: the
//! activation is lost, and is made again within its budget. Failures that repeat end the job, and so does a refusal
//! before any request has succeeded.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::compute::ExitReason;

/// This many bad answers in a row, with no good one between them, end a job.
const IN_A_ROW: u32 = 5;
/// How long the next activation waits after the first bad answer; the pause doubles with each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The worker, or the instance around it, has answered.
    Said(ExitReason),
    /// The service has failed or is busy; a later request may succeed.
    Silent(ExitReason),
    /// The service has answered, and the answer cannot be understood.
    Nonsense(String),
    /// The service has refused the request.
    Denied(String),
    /// The service has refused the request because what it was made to no longer exists.
    Gone(String),
}

/// The state of a service, by its answers until now.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether any request has succeeded.
    has_worked: bool,
    running: usize,
    in_a_row: u32,
    /// How many bad answers have counted. Requests that were under way at the same time and fail together count as one.
    counted: u64,
}

/// A request that is under way.
#[derive(Debug)]
pub struct OpenRequest {
    health: Arc<Health>,
    /// The count of bad answers when the request was made.
    counted: u64,
}

impl Health {
    /// Whether any request has succeeded until now.
    #[must_use]
    pub fn has_worked(&self) -> bool {
        self.lock().has_worked
    }

    /// Notes that a request is made.
    pub fn begin(self: &Arc<Self>) -> OpenRequest {
        let mut state = self.lock();
        state.running += 1;
        OpenRequest { counted: state.counted, health: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenRequest {
    /// How the activation of the request ends, and how long to wait before the executor is told. `once` says that the calls
    /// must not be counted as run when they were not.
    pub fn judge(self, answer: Answer, once: bool) -> (ExitReason, Duration) {
        let words = match answer {
            Answer::Said(ExitReason::Refused(words)) | Answer::Denied(words) | Answer::Gone(words) => words,
            Answer::Nonsense(words) => return self.bad(words, false, false),
            Answer::Silent(reason) => return (reason, Duration::ZERO),
            Answer::Said(reason) => {
                let mut state = self.health.lock();
                (state.has_worked, state.in_a_row) = (true, 0);
                drop(state);
                return (reason, Duration::ZERO);
            }
        };
        self.bad(words, true, once)
    }

    fn bad(self, words: String, never_ran: bool, once: bool) -> (ExitReason, Duration) {
        let mut state = self.health.lock();
        // Other requests that are under way may still succeed.
        if never_ran && !state.has_worked && state.running == 1 {
            return (ExitReason::Refused(words), Duration::ZERO);
        }
        if self.counted == state.counted {
            state.counted += 1;
            state.in_a_row += 1;
        }
        let in_a_row = state.in_a_row;
        drop(state);
        if in_a_row >= IN_A_ROW {
            let words = format!("{IN_A_ROW} bad answers in a row, the last: {words}");
            return (ExitReason::Refused(words), Duration::ZERO);
        }
        let pause = PAUSE * (1 << in_a_row.saturating_sub(1));
        match never_ran && once {
            true => (ExitReason::Throttled(pause), Duration::ZERO),
            false => (ExitReason::Lost(words), pause),
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.health.lock().running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> Answer {
        Answer::Denied("no".to_owned())
    }

    fn good() -> Answer {
        Answer::Said(ExitReason::Finished)
    }

    #[test]
    fn a_refusal_before_anything_has_worked_ends_the_job_and_one_later_does_not() {
        let health = Arc::<Health>::default();
        assert_eq!(health.begin().judge(denied(), false).0, ExitReason::Refused("no".to_owned()));
        // Another request may succeed.
        let (one, other) = (health.begin(), health.begin());
        assert_eq!(one.judge(denied(), false), (ExitReason::Lost("no".to_owned()), PAUSE));
        assert_eq!(other.judge(good(), false).0, ExitReason::Finished);
        for _ in 0..100 {
            assert_eq!(health.begin().judge(denied(), false).0, ExitReason::Lost("no".to_owned()));
            assert_eq!(health.begin().judge(denied(), true).0, ExitReason::Throttled(PAUSE * 2));
            health.begin().judge(good(), false);
        }
    }

    #[test]
    fn nonsense_is_a_loss_until_it_repeats() {
        for has_worked in [false, true] {
            let health = Arc::<Health>::default();
            if has_worked {
                health.begin().judge(good(), false);
            }
            let nonsense = || Answer::Nonsense("?".to_owned());
            for again in 1..IN_A_ROW {
                let (reason, pause) = health.begin().judge(nonsense(), true);
                assert_eq!((reason, pause), (ExitReason::Lost("?".to_owned()), PAUSE * (1 << (again - 1))));
            }
            let (reason, _) = health.begin().judge(nonsense(), false);
            assert!(
                matches!(&reason, ExitReason::Refused(words) if words.ends_with("the last: ?")),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn what_fails_together_counts_once() {
        let health = Arc::<Health>::default();
        health.begin().judge(good(), false);
        for _ in 1..IN_A_ROW {
            let together: Vec<_> = (0..100).map(|_| health.begin()).collect();
            for request in together {
                assert_eq!(request.judge(denied(), false).0, ExitReason::Lost("no".to_owned()));
            }
        }
        // A request without an answer in between changes nothing.
        let busy = Answer::Silent(ExitReason::Throttled(PAUSE));
        assert_eq!(health.begin().judge(busy, false).0, ExitReason::Throttled(PAUSE));
        assert!(matches!(health.begin().judge(denied(), false).0, ExitReason::Refused(_)));
    }
}
