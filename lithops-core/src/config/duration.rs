//! The form of durations in the configuration: a number of seconds, or `20us`, `500ms`, `30s`, `2m`, `1h`,
//! `7d`.

use std::time::Duration;

use super::Value;

/// Reads a duration; `None` unless the value is a duration above zero.
pub(crate) fn read(value: &Value) -> Option<Duration> {
    match value {
        Value::Int(seconds) => positive(*seconds as f64, 1.0),
        Value::Float(seconds) => positive(*seconds, 1.0),
        Value::String(text) => parse(text).filter(|duration| !duration.is_zero()),
        _ => None,
    }
}

/// Reads a text with a unit; `None` when it is no duration. The duration may be zero.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim_start() {
        "us" => 0.000_001,
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 24.0 * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

fn positive(number: f64, unit: f64) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(number * unit).ok()?;
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_seconds_and_units_are_units() {
        for (value, milliseconds) in [
            (Value::from(30), 30_000),
            (Value::from(0.5), 500),
            (Value::from("500ms"), 500),
            (Value::from("500000us"), 500),
            (Value::from("30s"), 30_000),
            (Value::from(" 2 m "), 120_000),
            (Value::from("1.5h"), 5_400_000),
            (Value::from("2d"), 2 * 86_400_000),
        ] {
            assert_eq!(read(&value), Some(Duration::from_millis(milliseconds)), "{value}");
        }
    }

    #[test]
    fn what_is_no_positive_duration_is_refused() {
        for value in
            [Value::from(0), Value::from(-1), Value::from(f64::NAN), Value::from(1e300), Value::from(true)]
        {
            assert_eq!(read(&value), None, "{value}");
        }
        for text in ["", "30", "s", "3 days", "-3s", "1.2.3s", "0s", "٣s"] {
            assert_eq!(read(&Value::from(text)), None, "{text}");
        }
    }
}
