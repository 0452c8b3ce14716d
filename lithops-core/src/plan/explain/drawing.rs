//! The time-cost frontier of a plan, drawn as an SVG.

use std::fmt::Write;

use super::{Alternative, seconds};
use crate::plan::Plan;

// The size of the drawing and the edges of its axes, in units of the SVG's view box.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 110.0;
const BOTTOM: f64 = 390.0;
const TOP: f64 = 60.0;
const RIGHT: f64 = 710.0;

/// Draws the time and the price of other granularities, with the plan among them; a line joins those that no
/// other beats in both. Where nothing costs anything, the number of sub-workers stands in for the price.
/// `None` where nothing is predicted.
#[must_use]
pub fn svg(plan: &Plan) -> Option<String> {
    let all = plan.alternatives();
    if all.is_empty() {
        return None;
    }
    let free = plan.cost().usd == Some(0.0);
    let price = |one: &Alternative| match free {
        true => one.worker_processes as f64 * one.workers.min(plan.max_workers() as u64) as f64,
        false => one.prediction.usd,
    };
    let time = |one: &Alternative| one.prediction.makespan.as_secs_f64();
    let across = Axis::of(all.iter().map(time), LEFT, RIGHT);
    let up = Axis { whole: free, ..Axis::of(all.iter().map(price), BOTTOM, TOP) };
    let mut out = String::new();
    let title = format!("{} calls: time and {}", plan.calls(), if free { "sub-workers" } else { "cost" });
    // Writing into a string cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>{title}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"16\">{title}</text>\n\
         <path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"#444\"/>\n"
    );
    let middle = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    let price_title = if free { "sub-workers at once" } else { "cost in US dollars" };
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">makespan (logarithmic)</text>\n<text transform=\"translate(20 {}) \
         rotate(-90)\" text-anchor=\"middle\">{price_title} (logarithmic)</text>",
        middle.0,
        BOTTOM + 48.0,
        middle.1
    );
    for value in across.marks(&TIMES, 6) {
        let (x, label) = (across.at(value), seconds(value));
        let _ = writeln!(
            out,
            "<path d=\"M{x:.1} {BOTTOM}v5\" stroke=\"#444\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            BOTTOM + 20.0
        );
    }
    for value in up.marks(&[1.0, 2.0, 5.0], 8) {
        let y = up.at(value);
        let label = if free { format!("{value:.0}") } else { crate::plan::Cost::of(value).to_string() };
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}h-5\" stroke=\"#444\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 9.0,
            y + 4.0
        );
    }
    let mut least = f64::INFINITY;
    let frontier = all.iter().filter(|one| {
        let better = price(one) < least;
        least = least.min(price(one));
        better
    });
    let line: Vec<_> =
        frontier.map(|one| format!("{:.1},{:.1}", across.at(time(one)), up.at(price(one)))).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#2a6fdb\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for one in &all {
        let (x, y) = (across.at(time(one)), up.at(price(one)));
        let (radius, fill) = if one.is_plan { (7.0, "#d6452b") } else { (3.5, "#2a6fdb") };
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" fill-opacity=\"0.8\"><title>\
             worker_processes {}, chunksize {}: {} workers, {}, {}</title></circle>",
            one.worker_processes,
            one.chunksize,
            one.workers,
            seconds(time(one)),
            crate::plan::Cost::of(one.prediction.usd),
        );
        if one.is_plan {
            let (anchor, offset) = if x > (LEFT + RIGHT) / 2.0 { ("end", -12.0) } else { ("start", 12.0) };
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#d6452b\">the plan: worker_processes {}, \
                 chunksize {}</text>",
                x + offset,
                y - 10.0,
                one.worker_processes,
                one.chunksize
            );
        }
    }
    out.push_str("</svg>\n");
    Some(out)
}

/// A logarithmic axis.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
    /// Whether its values are whole numbers.
    whole: bool,
}

/// Times in seconds that people read as round ones, within a factor of 3600; shorter ones are decimal.
const TIMES: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0];

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let least = positive.clone().fold(f64::INFINITY, f64::min);
        let most = positive.fold(0.0, f64::max);
        let (least, most) = if least.is_finite() { (least, most) } else { (1.0, 1.0) };
        Self { least: least / 1.3, most: most * 1.3, from, to, whole: false }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        self.from + part * (self.to - self.from)
    }

    /// Round values on the axis, at most about `most`: `steps` times powers of their span, and of 10 below 1.
    fn marks(&self, steps: &[f64], most: usize) -> Vec<f64> {
        let span = if steps.len() > 3 { 3600.0 } else { 10.0 };
        let decimal = [1.0, 2.0, 5.0];
        let below = (-12..0).flat_map(|power| decimal.map(|step| step * 10_f64.powi(power)));
        let above = (0..12).flat_map(|power| steps.iter().map(move |step| step * f64::powi(span, power)));
        let on_axis =
            |value: &f64| (self.least..=self.most).contains(value) && (!self.whole || *value >= 1.0);
        let marks: Vec<_> = below.chain(above).filter(on_axis).collect();
        if marks.len() < 2 {
            // A short axis: its first and its last value.
            return vec![self.least * 1.3, self.most / 1.3];
        }
        let every = marks.len().div_ceil(most);
        marks.into_iter().step_by(every).collect()
    }
}
