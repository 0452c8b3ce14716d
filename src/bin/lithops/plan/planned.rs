//! [`Planned`]: the output of `lithops plan`, as JSON and as text.

use lithops::{Alternative, Cost, Plan, Simulation, seconds};
use serde::Serialize;

/// The JSON of a plan, with the alternatives and the simulation if they were asked for.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    #[serde(flatten)]
    plan: Plan,
    #[serde(skip_serializing_if = "Option::is_none")]
    alternatives: Option<Vec<Other>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulation: Option<Played>,
}

#[derive(Debug, Serialize)]
struct Other {
    worker_processes: usize,
    chunksize: usize,
    workers: u64,
    makespan_seconds: f64,
    cost_usd: f64,
    utilisation: f64,
    efficient: bool,
    best_for: Vec<String>,
    is_plan: bool,
}

#[derive(Debug, Serialize)]
struct Played {
    runs: usize,
    median_seconds: f64,
    shortest_seconds: f64,
    longest_seconds: f64,
    utilisation: f64,
    billed_seconds: f64,
    cost_usd: f64,
}

impl From<&Plan> for Planned {
    fn from(plan: &Plan) -> Self {
        Self { plan: plan.clone(), alternatives: None, simulation: None }
    }
}

impl Planned {
    pub(crate) fn with_alternatives(mut self, alternatives: &[Alternative]) -> Self {
        self.alternatives = Some(alternatives.iter().map(Other::from).collect());
        self
    }

    pub(crate) fn with_simulation(mut self, simulation: &Simulation) -> Self {
        let span = |place: Option<&std::time::Duration>| place.map_or(0.0, std::time::Duration::as_secs_f64);
        self.simulation = Some(Played {
            runs: simulation.makespans.len(),
            median_seconds: simulation.makespan().as_secs_f64(),
            shortest_seconds: span(simulation.makespans.first()),
            longest_seconds: span(simulation.makespans.last()),
            utilisation: simulation.utilisation,
            billed_seconds: simulation.billed.as_secs_f64(),
            cost_usd: simulation.usd,
        });
        self
    }

    /// The numbers of the plan as text, one line each.
    pub(crate) fn lines(&self, backend: &str) -> Vec<String> {
        let plan = &self.plan;
        let (calls, workers, chunksize) = (plan.calls(), plan.workers(), plan.chunksize());
        let last = if plan.last_chunk() < chunksize as u64 && workers > 1 {
            format!(", the last one {}", plan.last_chunk())
        } else {
            String::new()
        };
        let worker_processes = plan.worker_processes();
        let mut lines = vec![
            format!(
                "{calls} calls on `{backend}`, worker_processes {worker_processes}, chunksize {chunksize}"
            ),
            if plan.is_fed() {
                format!(
                    "  chunks        {workers} of {} calls{last}, fed to live workers",
                    calls.min(chunksize as u64)
                )
            } else {
                format!(
                    "  workers       {workers}, each is given {} calls{last}",
                    calls.min(chunksize as u64)
                )
            },
            format!("  sub-workers   {} in each worker, which run one call at a time", plan.sub_workers()),
            format!("  live workers  {} at once", plan.live_workers()),
        ];
        if !plan.is_fed() {
            lines.push(format!("  waves         {}", plan.waves()));
        }
        if let Some(prediction) = plan.prediction() {
            lines.push(format!(
                "  makespan      {}, sub-workers run calls {:.0} % of it",
                seconds(prediction.makespan.as_secs_f64()),
                prediction.utilisation * 100.0
            ));
        }
        let cost = match plan.cost() {
            Cost { usd: None, .. } => "unknown: say how long a call takes, `--task-seconds 0.5`".to_owned(),
            cost => cost.to_string(),
        };
        lines.push(format!("  cost          {cost}"));
        if let Some(played) = &self.simulation {
            lines.push(format!(
                "  simulated     {} ({} to {} in {} runs), {:.0} % of the sub-workers' time, {}",
                seconds(played.median_seconds),
                seconds(played.shortest_seconds),
                seconds(played.longest_seconds),
                played.runs,
                played.utilisation * 100.0,
                Cost::of(played.cost_usd),
            ));
        }
        lines
    }

    /// The reasons for the plan and its alternatives, as text.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut lines = vec!["why:".to_owned()];
        lines.extend(self.plan.explain().iter().map(|why| format!("  {why}")));
        let Some(alternatives) = self.alternatives.as_ref().filter(|others| !others.is_empty()) else {
            return lines;
        };
        lines.push("alternatives, shortest first (* nothing is both shorter and cheaper):".to_owned());
        lines.push(format!(
            "    {:>16} {:>10} {:>9} {:>12} {:>11} {:>5}",
            "worker_processes", "chunksize", "workers", "makespan", "cost", "used"
        ));
        // The five shortest alternatives, and those that are marked, are shown.
        let stands_out = |other: &&Other| other.efficient || other.is_plan || !other.best_for.is_empty();
        let shown = alternatives.iter().enumerate().filter(|(place, other)| *place < 5 || stands_out(other));
        for (_, other) in shown {
            let mut notes = other.best_for.iter().map(|aim| format!("best for {aim}")).collect::<Vec<_>>();
            if other.is_plan {
                notes.insert(0, "this plan".into());
            }
            let line = format!(
                "  {} {:>16} {:>10} {:>9} {:>12} {:>11} {:>4.0}%  {}",
                if other.efficient { "*" } else { " " },
                other.worker_processes,
                other.chunksize,
                other.workers,
                seconds(other.makespan_seconds),
                Cost::of(other.cost_usd).to_string(),
                other.utilisation * 100.0,
                notes.join(", "),
            );
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

impl From<&Alternative> for Other {
    fn from(other: &Alternative) -> Self {
        Self {
            worker_processes: other.worker_processes,
            chunksize: other.chunksize,
            workers: other.workers,
            makespan_seconds: other.prediction.makespan.as_secs_f64(),
            cost_usd: other.prediction.usd,
            utilisation: other.prediction.utilisation,
            efficient: other.is_efficient,
            best_for: other.best_for.iter().map(ToString::to_string).collect(),
            is_plan: other.is_plan,
        }
    }
}
