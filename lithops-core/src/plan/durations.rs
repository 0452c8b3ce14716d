//! [`Durations`]: how long the calls of a function take, as a distribution.

use std::{fmt, str::FromStr};

use crate::{
    config::{Value, duration},
    error::{Error, ErrorKind, Result},
};

/// The most points of a distribution: more would make planning slower than a millisecond.
const POINTS: usize = 32;
/// The longest duration of a call, in seconds: a limit against numbers that are no durations.
const LONGEST: f64 = 1e9;

/// How long the calls of a function take: at most 32 durations with weights.
///
/// As text: `20ms` or `fixed:20ms`, `exponential:20ms` (its mean), `uniform:5ms,35ms`, and
/// `bimodal:2ms,200ms,0.1` for one call in ten of 200 ms.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// Seconds, ascending, and the share of calls that take no longer.
    points: Vec<(f64, f64)>,
    mean: f64,
    variance: f64,
}

impl Durations {
    /// Every call takes this many seconds.
    ///
    /// # Errors
    /// `InvalidInput` when `seconds` is not a number above 0.
    pub fn fixed(seconds: f64) -> Result<Self> {
        Self::weighted([(seconds, 1.0)])
    }

    /// Exponentially distributed with this mean, in seconds.
    ///
    /// # Errors
    /// `InvalidInput` when the mean is not a number above 0.
    pub fn exponential(mean: f64) -> Result<Self> {
        // Each point is the mean of its slice, so that the mean of all points is exact. Slices are finer
        // towards the end, because the longest of many calls decides the makespan.
        let tail = |share: f64| if share <= 0.0 { 0.0 } else { share * (1.0 - share.ln()) };
        let upto = |slice: i32| {
            if slice <= 20 { 1.0 - f64::from(slice) * 0.045 } else { 0.1 * 0.5f64.powi(slice - 20) }
        };
        let slices = POINTS as i32;
        Self::weighted((0..slices).map(|slice| {
            let (from, to) = (upto(slice), if slice + 1 == slices { 0.0 } else { upto(slice + 1) });
            (mean * (tail(from) - tail(to)) / (from - to), from - to)
        }))
    }

    /// Evenly distributed between two durations, in seconds.
    ///
    /// # Errors
    /// `InvalidInput` when the durations are not numbers above 0.
    pub fn uniform(least: f64, most: f64) -> Result<Self> {
        let step = (most - least) / POINTS as f64;
        Self::weighted((0..POINTS).map(|index| (least + step * (index as f64 + 0.5), 1.0)))
    }

    /// Short and long calls: the given share of calls takes `long` seconds, the others `short`.
    ///
    /// # Errors
    /// `InvalidInput` when the durations are not numbers above 0, or the share is not between 0 and 1.
    pub fn bimodal(short: f64, long: f64, share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("the share of long calls is {share}"))
                .with_hint("write a number from 0 to 1, such as 0.1"));
        }
        Self::weighted([(short, 1.0 - share), (long, share)])
    }

    /// Makes a distribution of pairs of seconds and weight, in any order.
    ///
    /// # Errors
    /// `InvalidInput` when a duration is not a number above 0, or no pair has a weight.
    pub fn weighted(points: impl IntoIterator<Item = (f64, f64)>) -> Result<Self> {
        let mut points: Vec<_> = points.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
        for (seconds, weight) in &points {
            if !(*seconds > 0.0 && *seconds <= LONGEST && weight.is_finite()) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("a call cannot take {seconds} seconds"),
                )
                .with_hint("write a number of seconds above 0, such as 0.02")
                .with_context("key", "task_seconds"));
            }
        }
        if points.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "no duration of a call is given")
                .with_hint("write a number of seconds above 0, such as 0.02"));
        }
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let points = thinned(points);
        let total: f64 = points.iter().map(|(_, weight)| weight).sum();
        let mean = points.iter().map(|(seconds, weight)| seconds * weight).sum::<f64>() / total;
        let square = |seconds: f64| (seconds - mean) * (seconds - mean);
        let variance = points.iter().map(|(seconds, weight)| square(*seconds) * weight).sum::<f64>() / total;
        let mut share = 0.0;
        let last = points.len() - 1;
        let cumulated = points.iter().enumerate().map(|(index, (seconds, weight))| {
            share += weight / total;
            (*seconds, if index == last { 1.0 } else { share })
        });
        Ok(Self { points: cumulated.collect(), mean, variance })
    }

    /// The mean, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard deviation, in seconds.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    /// The longest duration, in seconds.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.points.last().map_or(0.0, |(seconds, _)| *seconds)
    }

    /// The seconds that this share of calls, from 0 to 1, does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let place = self.points.partition_point(|(_, upto)| *upto < share);
        self.points[place.min(self.points.len() - 1)].0
    }

    /// This distribution with all durations times `factor`, and `offset` seconds longer.
    pub(super) fn stretched(&self, factor: f64, offset: f64) -> Self {
        let points = self.points.iter().map(|(seconds, upto)| (seconds * factor + offset, *upto)).collect();
        Self { points, mean: self.mean * factor + offset, variance: self.variance * factor * factor }
    }

    /// The mean duration of the longest of `count` calls, in seconds.
    pub(super) fn longest_of(&self, count: f64) -> f64 {
        let mut before = 0.0;
        let of_longest = self.points.iter().map(|(seconds, upto)| {
            let upto = upto.powf(count);
            seconds * (upto - std::mem::replace(&mut before, upto))
        });
        of_longest.sum()
    }

    /// How many seconds `calls` such calls take when `places` serve them, each taking the next call when it
    /// is free. A call needs the part `crowd` of all CPUs while it runs: when the running calls need more
    /// than all CPUs together, they slow each other.
    pub(super) fn makespan(&self, calls: f64, places: f64, crowd: f64) -> f64 {
        if calls <= places {
            return if calls > 0.0 { self.together(calls, crowd) } else { 0.0 };
        }
        let stretch = (places * crowd).max(1.0);
        let rounds = calls / places;
        // In step: while calls are about equally long, all places end their rounds together.
        let whole = rounds.ceil() - 1.0;
        let in_step = whole * self.mean * stretch + self.together(calls - whole * places, crowd);
        // Places get out of step with the square root of the rounds; a drift of a quarter of a call is half
        // way.
        let drift = rounds * self.variance / (self.mean * self.mean);
        let together = (-drift * 8.0).exp();
        if together > 0.999 {
            return in_step;
        }
        // Out of step: when the last call begins, each place is at a random point of its call.
        let rest = (self.mean + self.variance / self.mean) / 2.0;
        let out_of_step = ((rounds * self.mean - rest) * stretch + self.rests_together(places, crowd))
            .max(((calls - places) / places * self.mean) * stretch + self.mean);
        (together * in_step + (1.0 - together) * out_of_step).max(self.longest_of(calls))
    }

    /// How long `count` calls take that begin together: the fewer still run, the less they slow each other.
    fn together(&self, count: f64, crowd: f64) -> f64 {
        let (mut took, mut from, mut share) = (0.0, 0.0, 0.0f64);
        for (seconds, upto) in &self.points {
            // Between two points no call ends.
            took += (seconds - from) * (1.0 - share.powf(count)).max(crowd * count * (1.0 - share));
            (from, share) = (*seconds, *upto);
        }
        took
    }

    /// How long the rests of `count` running calls take, seen at a random moment.
    fn rests_together(&self, count: f64, crowd: f64) -> f64 {
        // A call that is running has a rest of at most x with probability G(x) = (1/mean) * integral of 1 - F
        // up to x, which is linear between points; the mean of the longest rest is the integral of 1 -
        // G^count.
        let (mut took, mut from, mut share, mut rest) = (0.0, 0.0, 0.0, 0.0f64);
        for (seconds, upto) in &self.points {
            let slope = (1.0 - share) / self.mean;
            let next = (rest + slope * (seconds - from)).min(1.0);
            let span = seconds - from;
            if crowd * count <= 1.0 && slope > 1e-12 {
                let below = (next.powf(count + 1.0) - rest.powf(count + 1.0)) / ((count + 1.0) * slope);
                took += span - below;
            } else {
                // Simpson's rule, because the integral has no closed form when calls slow each other.
                let at = |rest: f64| (1.0 - rest.powf(count)).max(crowd * count * (1.0 - rest));
                took += span / 6.0 * (at(rest) + 4.0 * at((rest + next) / 2.0) + at(next));
            }
            (from, share, rest) = (*seconds, *upto, next);
        }
        took
    }
}

/// At most [`POINTS`] points: neighbours of little weight are merged; the longest stays as it is.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points;
    }
    let total: f64 = points.iter().map(|(_, weight)| weight).sum();
    let each = total / (POINTS / 2) as f64;
    let mut thin: Vec<(f64, f64)> = Vec::with_capacity(POINTS);
    let last = points.len() - 1;
    let mut left = total;
    for (index, (seconds, weight)) in points.into_iter().enumerate() {
        let full = thin.len() == POINTS - 1;
        // Finer towards the end, because the longest of many calls decides the makespan.
        let most = each.min(left / 2.0);
        left -= weight;
        match thin.last_mut() {
            Some((kept, sum)) if index != last && (full || *sum + weight <= most) => {
                *kept = (*kept * *sum + seconds * weight) / (*sum + weight);
                *sum += weight;
            }
            _ => thin.push((seconds, weight)),
        }
    }
    thin
}

impl FromStr for Durations {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::InvalidInput, format!("`{text}` does not say how long calls take"))
                .with_hint("write 20ms, exponential:20ms, uniform:5ms,35ms or bimodal:2ms,200ms,0.1")
        };
        let (shape, numbers) = text.split_once(':').unwrap_or(("fixed", text));
        let seconds = |text: &str| {
            let number =
                text.trim().parse().map_or_else(|_| Value::from(text), |number: f64| Value::Float(number));
            duration::read(&number).map(|duration| duration.as_secs_f64()).ok_or_else(wrong)
        };
        let numbers: Vec<_> = numbers.split(',').collect();
        match (shape, numbers.as_slice()) {
            ("fixed", [each]) => Self::fixed(seconds(each)?),
            ("exponential", [mean]) => Self::exponential(seconds(mean)?),
            ("uniform", [least, most]) if seconds(least)? <= seconds(most)? => {
                Self::uniform(seconds(least)?, seconds(most)?)
            }
            ("bimodal", [short, long, share]) => {
                Self::bimodal(seconds(short)?, seconds(long)?, share.trim().parse().map_err(|_| wrong())?)
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, deviation) =
            (super::explain::seconds(self.mean), super::explain::seconds(self.deviation()));
        match self.points.len() {
            1 => write!(f, "{mean} each"),
            _ => write!(
                f,
                "{mean} on the average, deviation {deviation}, at most {}",
                super::explain::seconds(self.longest())
            ),
        }
    }
}

#[cfg(test)]
#[path = "durations_tests.rs"]
mod tests;
