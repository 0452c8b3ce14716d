//! The workloads by lithops, and by its peers in turns with it.

use std::{fs, path::Path, time::Duration};

use serde_json::json;

use super::{
    summary::Summary,
    system::System,
    text,
    workload::{FITS, WORKLOADS, Workload},
};
use crate::workspace::built;

/// One system's measurements of one workload.
struct Row<'a> {
    system: &'a System,
    count: u64,
    values: Vec<f64>,
    /// Why it could do no more, or nothing.
    problem: Option<String>,
    more: serde_json::Value,
    is_slow: bool,
}

/// A peer that takes longer than this is measured no more than [`SLOW_RUNS`] times.
const SLOW: Duration = Duration::from_secs(4);
const SLOW_RUNS: usize = 3;

/// Measures workloads; all of them when none is named.
pub(super) fn run(names: &[&str], peers: bool) -> Result<(), String> {
    let mut systems = vec![System::lithops()?];
    if peers {
        systems.extend(System::peers()?);
    }
    let below = built("bench")?;
    fs::create_dir_all(&below).map_err(|error| error.to_string())?;
    let mut table = String::new();
    for workload in WORKLOADS.iter().filter(|workload| names.is_empty() || names.contains(&workload.name)) {
        let folder = match workload.name {
            "wordcount" => text::folder(&below, workload.count)?,
            _ => below.clone(),
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
            (row.count, row.problem) = largest(system, workload, folder);
            if row.problem.is_some() {
                eprintln!("   {}, {}: {}", workload.name, system.name, row.problem.as_deref().unwrap_or(""));
            }
        }
        rows.push(row);
    }
    // In turns, so that whatever else the machine does hits all of them.
    for _ in 0..workload.runs {
        for row in rows.iter_mut().filter(|row| row.count > 0) {
            if row.is_slow && row.values.len() >= SLOW_RUNS {
                continue;
            }
            match row.system.measure(workload.name, row.count, folder) {
                Ok(found) => {
                    row.is_slow = !row.system.is_own() && found.lived > SLOW;
                    row.values.push(found.value);
                    row.more = found.line;
                }
                Err(problem) if row.system.is_own() => return Err(format!("{}: {problem}", workload.name)),
                Err(problem) => row.problem = Some(problem),
            }
        }
    }
    let own = Summary::of(rows[0].values.clone()).median;
    Ok(rows.into_iter().map(|row| print(workload, row, own)).collect())
}

/// The most calls that a peer manages in its time, none if it fails with the fewest; and what kept it from more.
fn largest(system: &System, workload: &Workload, folder: &Path) -> (u64, Option<String>) {
    let (mut good, mut count) = (0, workload.first);
    loop {
        match system.measure(workload.name, count, folder) {
            Err(problem) => return (good, Some(format!("fails with {count}: {problem}"))),
            Ok(found) if found.lived > FITS => {
                let fits = (count as f64 * FITS.as_secs_f64() / found.lived.as_secs_f64() * 0.9) as u64;
                return (if good > 0 { fits.max(good) } else { count }, None);
            }
            Ok(found) => {
                good = count;
                if count == workload.count {
                    return (good, None);
                }
                let more = (FITS.as_secs_f64() * 0.8 / found.lived.as_secs_f64()).min(10.0);
                if more < 1.3 {
                    return (good, None);
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
