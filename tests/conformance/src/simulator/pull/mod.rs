//! The board in virtual time: its real workers and clients, against a storage and a platform that misbehave.
//!
//! A queue of events is all there is: what is due next happens next, and a seed decides what comes of it. Each
//! participant has a clock of its own that may be too slow or too fast. [`run_pull`] plays a seed.

mod broken;
mod client;
mod cost;
mod events;
mod judge;
mod scenario;
mod store;
mod worker;

pub use broken::PullSabotage;
pub use cost::{BoardCost, BoardJob, board_cost};
pub use judge::{run_pull, run_pull_with};
pub use scenario::PullScenario;
