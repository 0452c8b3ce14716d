//! `lithops plan`: the command, and a plan as text and as JSON.

mod plan_job;
mod planned;

pub(crate) use plan_job::PlanJob;
pub(crate) use planned::Planned;
