//! The state of one job in its client: inputs, outcomes, events, measurements, and the cleanup after the job.

pub(super) mod account;
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
pub(super) mod progress;
pub(super) mod repeat;
pub(super) mod source;
pub(super) mod state;

pub use account::{Account, Spending};
pub use cleanup::JobCleanup;
pub use event::JobEvent;
pub use history::{History, Learn};
pub use input_queue::InputQueue;
pub(super) use inputs::{InputSource, Objects};
pub use inputs::{Inputs, IntoInputs};
pub use measured::Measured;
pub use outcomes::{OutcomePart, Outcomes};
pub use progress::Progress;
pub(super) use repeat::{Failed, Repeat};
pub use source::CallSource;
pub(super) use source::CallSources;
pub use state::{Command, Commands, JobState};
