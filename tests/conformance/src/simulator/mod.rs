//! The simulator: the real driver and the real tracker, in virtual time, against a backend and a storage that
//! misbehave; and, in `pull`, the real board.
//!
//! A seed decides everything: how many calls, how the backend hands out and reports them, and which faults happen
//! when. The same seed gives the same run. [`run`] plays one and says which promise was broken, if any was.

mod backend;
mod broken;
mod clients;
mod fleet;
mod judge;
mod pull;
mod random;
mod scenario;
mod store;
mod worker;

pub use broken::Sabotage;
pub use fleet::{Seen, fleet};
pub use judge::{Verdict, Violation, run};
pub use pull::{BoardCost, BoardJob, PullSabotage, PullScenario, board_cost, run_pull, run_pull_with};
pub use scenario::{Fate, Scenario, Shape};
