//! The tracker: which calls of a job wait, are held by workers, and are committed. It does no I/O, and is
//! used by clients, by workers that pull, and by the simulator.

mod policy;
mod range_map;
mod ranges;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
mod tracker;
mod tracking;
mod window;

pub use policy::Policy;
pub use ranges::Ranges;
pub use tracker::Tracker;
pub use tracking::{Dispatch, Step, Tracking, Verdict};
pub use window::Window;
