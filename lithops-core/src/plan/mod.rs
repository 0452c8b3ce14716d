//! The granularity planner: how many calls a worker is given, how many run in it at once, how many workers that is.
//!
//! It is pure and total: the same request gives the same [`Plan`], nothing is clamped in silence, and nothing is
//! allocated per call.

mod numbers;
mod request;
mod warning;

pub use numbers::{Cost, Plan};
pub use request::PlanRequest;
pub use warning::Warning;
