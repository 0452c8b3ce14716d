//! The tracker: which calls of a job are to be given out, are being run, and have been committed. It is pure, and used
//! by clients, by workers that pull, and by the simulator.

mod policy;
mod ranges;
mod tracker;
mod tracking;
mod window;

pub use policy::Policy;
pub use ranges::Ranges;
pub use tracker::Tracker;
pub use tracking::{Dispatch, Step, Tracking, Verdict};
pub use window::Window;
