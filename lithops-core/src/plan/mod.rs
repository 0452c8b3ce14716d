//! The granularity planner: how many calls a worker is given, how many run in it at once, how many workers
//! there are, how long the job takes and what it costs.
//!
//! The planner is pure and total: the same request gives the same [`Plan`], a value beyond a limit is an
//! error and never clamped, and no memory is allocated per call. The cost model is described in `model.rs`;
//! where a [`Workload`] says how long calls take, the planner predicts and chooses.
//!
//! ```text
//!  Capabilities (limits, prices) --+
//!  worker_processes, chunksize ----+--> PlanRequest --> Plan --> explain(), alternatives(), simulate(), svg()
//!  Workload (given or from before) +                       ^
//!                                                          +---- measured while the job runs
//! ```

mod auto;
mod cost;
mod count;
mod durations;
mod explain;
mod granularity;
mod model;
mod objective;
#[expect(clippy::module_inception, reason = "its one subject is that of the folder")]
mod plan;
mod request;
mod simulation;
mod workload;

pub use cost::Cost;
pub use count::{Auto, Chosen, Count};
pub use durations::Durations;
pub use explain::{Alternative, Warning, seconds, svg};
pub use model::Prediction;
pub use objective::Objective;
pub use plan::Plan;
pub use request::PlanRequest;
pub use simulation::{Simulation, simulate};
pub use workload::{Basis, Workload};

#[cfg(test)]
mod tests;
