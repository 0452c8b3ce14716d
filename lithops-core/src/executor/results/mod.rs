//! The results of jobs: futures, their values, events, the progress bar and the summary.

pub(super) mod decode;
pub(super) mod events;
pub(super) mod futures;
pub(super) mod handles;
pub(super) mod progress_bar;
mod progress_text;
pub(super) mod response;
pub(super) mod spin_wait;
pub(super) mod summary;
pub(super) mod values;
pub(super) mod wait;

pub use events::Events;
pub use futures::{AsCompleted, Completed, FuturesList};
pub use response::{ResponseFuture, ResponseValue, Status};
pub use summary::Summary;
pub use values::Values;
pub use wait::{ReturnWhen, Wait};
