//! [`seconds`]: times in the form that people read.

/// A time in seconds for people: `1.5 ms`, `20 s`, `3 min 20 s`, `5 min`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    let short = |value: f64| {
        let digits = if value >= 100.0 {
            0
        } else if value >= 10.0 {
            1
        } else {
            2
        };
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match seconds {
        _ if seconds < 0.001 => format!("{} us", short(seconds * 1e6)),
        _ if seconds < 1.0 => format!("{} ms", short(seconds * 1e3)),
        _ if seconds < 120.0 => format!("{} s", short(seconds)),
        _ if seconds < 7200.0 && (seconds % 60.0).round() == 0.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds < 7200.0 => format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0),
        _ => format!("{} h", short(seconds / 3600.0)),
    }
}
