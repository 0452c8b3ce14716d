//! [`Summary`]: several measurements of the same workload as one figure.

use serde_json::{Value, json};

/// Several measurements as one figure: the median, and how far they spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    runs: usize,
}

impl Summary {
    /// The summary of at least one measurement.
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let runs = values.len();
        Self { median: values[runs / 2], min: values[0], max: values[runs - 1], runs }
    }

    pub(super) fn json(&self) -> Value {
        let Self { median, min, max, runs } = self;
        json!({ "median": median, "min": min, "max": max, "runs": runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_median_and_extremes() {
        let summary = Summary::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((summary.median, summary.min, summary.max, summary.runs), (2.0, 1.0, 3.0, 3));
    }
}
