//! The workloads by lithops, and by its peers in turns with it.

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use super::{
    summary::Summary,
    system::{Found, System},
    text,
    workload::{FITS, WORKLOADS, Workload},
};
use crate::workspace::built;

/// One system's measurements of one workload.
struct Row<'a> {
    system: &'a System,
    count: u64,
    values: Vec<f64>,
    /// Why the system could do no more, or nothing.
    problem: Option<String>,
    more: serde_json::Value,
    is_slow: bool,
}

impl Row<'_> {
    fn take(&mut self, found: Found) {
        self.is_slow = !self.system.is_own() && found.lived > SLOW;
        self.values.push(found.value);
        self.more = found.line;
    }
}

/// A peer that takes longer than this is measured no more than [`SLOW_RUNS`] times.
const SLOW: Duration = Duration::from_secs(4);
const SLOW_RUNS: usize = 2;

/// Measures workloads; all of them when none is named.
pub(super) fn run(names: &[&str], peers: bool) -> Result<(), String> {
    let mut systems = vec![System::lithops()?];
    if peers {
        systems.extend(System::peers()?);
    }
    let below = built("bench")?;
    fs::create_dir_all(&below).map_err(|error| error.to_string())?;
    let mut table = String::new();
    // Every figure is read beside what bare sockets take in the same run.
    let is_wanted = |name| names.is_empty() || name == "echo" || names.contains(&name);
    for workload in WORKLOADS.iter().filter(|workload| is_wanted(workload.name)) {
        let folder = match Workload::reads_text(workload.name) {
            true => text::folder(&below, workload.count)?,
            false => below.clone(),
        };
        table += &measure(workload, &systems, &folder)?;
    }
    eprintln!("\n{HEAD}{table}");
    Ok(())
}

const HEAD: &str =
    "| workload | system | calls | median | min to max | lithops (Rust) is |\n|---|---|---|---|---|---|\n";

fn measure(workload: &Workload, systems: &[System], folder: &Path) -> Result<String, String> {
    let mut rows = Vec::new();
    for system in systems.iter().filter(|system| system.is_own() || workload.has_peers) {
        let mut row = Row {
            system,
            count: workload.count,
            values: vec![],
            problem: None,
            more: json!({}),
            is_slow: false,
        };
        if !system.is_own() {
            let Largest { count, problem, found } = largest(system, workload, folder);
            (row.count, row.problem) = (count, problem);
            if row.problem.is_some() {
                eprintln!("   {}, {}: {}", workload.name, system.name, row.problem.as_deref().unwrap_or(""));
            }
            found.into_iter().for_each(|found| row.take(found));
        }
        rows.push(row);
    }
    // In turns, so that other work of the machine hits all of them.
    for _ in 0..workload.runs {
        for row in rows.iter_mut().filter(|row| row.count > 0) {
            if row.is_slow && row.values.len() >= SLOW_RUNS {
                continue;
            }
            match row.system.measure(workload.name, row.count, folder) {
                Ok(found) => row.take(found),
                Err(problem) if row.system.is_own() => return Err(format!("{}: {problem}", workload.name)),
                Err(problem) => row.problem = Some(problem),
            }
        }
    }
    let own = Summary::of(rows[0].values.clone()).median;
    Ok(rows.into_iter().map(|row| print(workload, row, own)).collect())
}

/// The most calls that a peer manages in its time; none if it fails with the fewest.
struct Largest {
    count: u64,
    /// The error that kept the peer from more calls.
    problem: Option<String>,
    /// What was measured with the most calls.
    found: Option<Found>,
}

fn largest(system: &System, workload: &Workload, folder: &Path) -> Largest {
    let mut good = Largest { count: 0, problem: None, found: None };
    let mut count = workload.first;
    loop {
        match system.measure(workload.name, count, folder) {
            Err(problem) => {
                good.problem = Some(format!("fails with {count}: {problem}"));
                return good;
            }
            Ok(found) if found.lived > FITS => {
                let fits = (count as f64 * FITS.as_secs_f64() / found.lived.as_secs_f64() * 0.9) as u64;
                return match good.count {
                    0 => Largest { count, problem: None, found: Some(found) },
                    before if fits <= before => good,
                    _ => Largest { count: fits, problem: None, found: None },
                };
            }
            Ok(found) => {
                let more = (FITS.as_secs_f64() * 0.8 / found.lived.as_secs_f64()).min(10.0);
                good = Largest { count, problem: None, found: Some(found) };
                if count == workload.count || more < 1.3 {
                    return good;
                }
                count = ((count as f64 * more) as u64).min(workload.count);
            }
        }
    }
}

/// A line of JSON, and one of the table.
fn print(workload: &Workload, row: Row<'_>, own: f64) -> String {
    let Workload { name, unit, more_is_better, goal, .. } = workload;
    let mut line = json!({ "workload": name, "system": row.system.name, "count": row.count, "unit": unit });
    if let Some(problem) = &row.problem {
        line["problem"] = json!(problem);
    }
    if row.values.is_empty() {
        println!("{line}");
        let problem = row.problem.unwrap_or_default().replace('|', "/");
        return format!("| {name} | {} | - | {problem} | | |\n", row.system.name);
    }
    let summary = Summary::of(row.values);
    line["found"] = summary.json();
    line["last"] = row.more;
    let ratio = if *more_is_better { own / summary.median } else { summary.median / own };
    line["lithops_is_better_by"] = json!(ratio);
    println!("{line}");
    let told =
        if row.system.is_own() { format!("goal: {goal}") } else { format!("{ratio:.2} times as good") };
    format!(
        "| {name} | {} | {} | {} {unit} | {} to {} | {told} |\n",
        row.system.name,
        row.count,
        short(summary.median),
        short(summary.min),
        short(summary.max)
    )
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e4 => format!("{:.1} k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}
