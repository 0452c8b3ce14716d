//! [`Count`]: a number that is given, or left to the planner.

use std::fmt;

/// Leaves a number to the planner: `chunksize(Auto)`, `worker_processes(Auto)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Auto;

/// A number that is given, or [`Auto`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The number that was given.
    Exactly(usize),
    /// The planner chooses by the workload, and corrects the choice while the job runs.
    Auto,
}

impl From<usize> for Count {
    fn from(count: usize) -> Self {
        Self::Exactly(count)
    }
}

impl From<Auto> for Count {
    fn from(_: Auto) -> Self {
        Self::Auto
    }
}

impl From<crate::config::CountValue> for Count {
    fn from(value: crate::config::CountValue) -> Self {
        match value {
            crate::config::CountValue::Count(count) => Self::Exactly(count),
            crate::config::CountValue::Auto => Self::Auto,
        }
    }
}

impl Count {
    pub(crate) fn exact(self) -> Option<usize> {
        match self {
            Self::Exactly(count) => Some(count),
            Self::Auto => None,
        }
    }
}

/// The source of a number in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// The program, the configuration or the command.
    Given,
    /// The default rule, because no number was given.
    Default,
    /// The planner, by the cost model.
    Auto,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "as was said",
            Self::Default => "the default",
            Self::Auto => "chosen by auto",
        })
    }
}
