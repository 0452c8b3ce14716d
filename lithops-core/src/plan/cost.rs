//! [`Cost`]: what a job costs.

use std::fmt;

/// What a job costs, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Cost {
    /// US dollars, where that can be said.
    pub usd: Option<f64>,
}

impl Cost {
    /// So many US dollars.
    #[must_use]
    pub fn of(usd: f64) -> Self {
        Self { usd: Some(usd) }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.usd {
            None => f.write_str("cost unknown"),
            Some(0.0) => f.write_str("free"),
            Some(usd) if usd < 0.0001 => write!(f, "${usd:.2e}"),
            Some(usd) => write!(f, "${usd:.4}"),
        }
    }
}
