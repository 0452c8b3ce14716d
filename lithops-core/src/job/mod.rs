//! A job on the client's side: its inputs, the tracker of its calls, and their outcomes.

mod event;
mod inputs;
mod measured;
mod outcomes;
mod policy;
mod ranges;
mod state;
mod tracker;
mod tracking;
mod window;

pub use event::JobEvent;
pub use inputs::{InputQueue, Taken};
pub use measured::Measured;
pub use outcomes::{Outcomes, Part};
pub use policy::Policy;
pub use ranges::Ranges;
pub use state::{Account, Command, Commands, JobState, Progress};
pub use tracker::Tracker;
pub use tracking::{Dispatch, Step, Tracking, Verdict};
pub use window::Window;
