//! [`Cost`]: the price of a job.

use std::fmt;

/// The price of a job, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Cost {
    /// US dollars; `None` where the price cannot be predicted.
    pub usd: Option<f64>,
}

impl Cost {
    /// A known price of `usd` US dollars.
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
