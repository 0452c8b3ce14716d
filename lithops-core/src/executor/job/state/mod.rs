//! The state that a job's handles share with the task that drives the job.

mod again;
mod job_state;
mod planned;
mod shown;

pub use job_state::{Command, Commands, JobState};
