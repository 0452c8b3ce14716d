//! [`Objective`]: what `Auto` minimises.

use std::{fmt, str::FromStr};

use crate::error::{Error, ErrorKind, Result};

/// What `Auto` minimises. Where nothing costs anything, every objective means the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Objective {
    /// The time until the last call has ended. Of plans that are within 2 % of the shortest, the cheapest.
    Time,
    /// The price. Of plans that are within 2 % of the cheapest, the shortest.
    Cost,
    /// The product of time and price: twice the price is accepted for half the time.
    #[default]
    Balanced,
}

impl FromStr for Objective {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "time" => Ok(Self::Time),
            "cost" => Ok(Self::Cost),
            "balanced" => Ok(Self::Balanced),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("unknown objective `{text}`"))
                .with_hint("write `time`, `cost` or `balanced`")
                .with_context("key", "objective")),
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Cost => "cost",
            Self::Balanced => "balanced",
        })
    }
}
