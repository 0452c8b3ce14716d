//! The state of one job in its client: its inputs, its outcomes, its events, and what is done when it has ended.

pub(super) mod background;
pub(super) mod cleanup;
pub(super) mod encode_inputs;
pub(super) mod event;
pub(super) mod history;
pub(super) mod input_queue;
pub(super) mod inputs;
pub(super) mod interrupt;
pub(super) mod measured;
pub(super) mod outcomes;
pub(super) mod state;

pub use cleanup::Leftover;
pub use event::JobEvent;
pub use history::{History, Learn};
pub use input_queue::InputQueue;
pub use inputs::{Inputs, IntoInputs};
pub(super) use inputs::{Objects, Source};
pub use measured::Measured;
pub use outcomes::{Outcomes, Part};
pub use state::{Account, Command, Commands, JobState, Progress};
