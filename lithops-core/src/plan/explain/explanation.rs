//! The reasons for the numbers of a plan, and its alternatives.

use serde::{Serialize, Serializer};

use super::seconds;
use crate::{
    compute::{Capabilities, Granularity},
    plan::{
        Chosen, Cost, Objective, Plan, Prediction,
        auto::{self, Choice},
        model::Shape,
    },
};

/// A plan in the form that programs read, as JSON.
#[derive(Debug, Serialize)]
struct Planned {
    calls: u64,
    workers: u64,
    worker_processes: usize,
    chunksize: usize,
    last_chunk: u64,
    sub_workers: usize,
    live_workers: u64,
    waves: u64,
    granularity: String,
    makespan_seconds: Option<f64>,
    utilisation: Option<f64>,
    billed_seconds: Option<f64>,
    cost_usd: Option<f64>,
    why: Vec<String>,
    warnings: Vec<String>,
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let prediction = self.prediction();
        let planned = Planned {
            calls: self.calls(),
            workers: self.workers(),
            worker_processes: self.worker_processes(),
            chunksize: self.chunksize(),
            last_chunk: self.last_chunk(),
            sub_workers: self.sub_workers(),
            live_workers: self.live_workers(),
            waves: self.waves(),
            granularity: self.granularity().to_string(),
            makespan_seconds: prediction.map(|prediction| prediction.makespan.as_secs_f64()),
            utilisation: prediction.map(|prediction| prediction.utilisation),
            billed_seconds: prediction.map(|prediction| prediction.billed.as_secs_f64()),
            cost_usd: self.cost().usd,
            why: self.explain(),
            warnings: self.warnings().iter().map(ToString::to_string).collect(),
        };
        planned.serialize(serializer)
    }
}

/// Another granularity for the same job, with its prediction.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Alternative {
    /// The number of sub-workers in one worker.
    pub worker_processes: usize,
    /// How many calls one worker is given at a time.
    pub chunksize: usize,
    /// How many hand-overs there are.
    pub workers: u64,
    /// The predicted time and price.
    pub prediction: Prediction,
    /// Whether no other alternative is both shorter and cheaper.
    pub is_efficient: bool,
    /// The objectives for which this alternative is the best.
    pub best_for: Vec<Objective>,
    /// Whether this alternative is the plan itself.
    pub is_plan: bool,
}

impl Plan {
    /// The reasons for the numbers of the plan, a sentence for each.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        sentences(self)
    }

    /// Other granularities with their predictions, the shortest first; this plan is among them. Empty where
    /// no workload is known.
    #[must_use]
    pub fn alternatives(&self) -> Vec<Alternative> {
        alternatives(self)
    }
}

fn alternatives(plan: &Plan) -> Vec<Alternative> {
    let numbers = plan.numbers();
    let (Some(workload), true) = (numbers.workload.as_deref(), numbers.calls > 0) else { return Vec::new() };
    let capabilities = &numbers.capabilities;
    let choice = Choice {
        calls: numbers.calls,
        worker_processes: None,
        chunksize: None,
        auto: (true, true),
        max_workers: numbers.max_workers,
        objective: numbers.objective,
        payload: numbers.payload,
    };
    let mut all = choice.all(capabilities, workload);
    let shape = numbers.shape();
    if all.iter().all(|(other, _)| *other != shape) {
        all.push((shape, shape.predict(capabilities, workload)));
    }
    all.sort_by_key(|(shape, prediction)| (prediction.makespan, shape.worker_processes, shape.chunksize));
    let bests = [Objective::Time, Objective::Cost, Objective::Balanced]
        .map(|objective| (objective, auto::best(&all, objective).map(|(shape, _)| shape)));
    let mut cheapest = f64::INFINITY;
    all.into_iter()
        .map(|(other, prediction)| {
            let is_efficient = prediction.usd < cheapest;
            cheapest = cheapest.min(prediction.usd);
            Alternative {
                worker_processes: other.worker_processes,
                chunksize: other.chunksize,
                workers: other.workers(),
                prediction,
                is_efficient,
                best_for: bests.iter().filter(|best| best.1 == Some(other)).map(|best| best.0).collect(),
                is_plan: other == shape,
            }
        })
        .collect()
}

fn sentences(plan: &Plan) -> Vec<String> {
    let numbers = plan.numbers();
    let mut said = vec![processes(plan), chunksize(plan), workers(plan)];
    if plan.is_auto() && numbers.workload.is_none() {
        said.push(
            "nothing is known of the calls yet: the job starts small, measures, and plans the rest anew"
                .into(),
        );
    }
    match (numbers.workload.as_deref(), plan.prediction()) {
        (Some(workload), Some(prediction)) => {
            said.push(format!("{workload}"));
            said.extend(start(plan, prediction));
            said.push(time(plan, prediction));
        }
        _ => said.push("how long calls take is not known: neither time nor price can be predicted".into()),
    }
    said.push(money(plan));
    said
}

fn processes(plan: &Plan) -> String {
    let numbers = plan.numbers();
    let count = numbers.worker_processes;
    let cpus = format!("{:.2}", numbers.capabilities.worker_cpus);
    let cpus = cpus.trim_end_matches('0').trim_end_matches('.');
    let why = match (numbers.chosen.0, plan.granularity()) {
        (Chosen::Given, _) => "as was said".into(),
        (Chosen::Default, Granularity::Faas) => {
            "a function instance runs one call at a time unless told otherwise".into()
        }
        (Chosen::Default, Granularity::Caas) => format!("the {cpus} vCPUs of a container"),
        (Chosen::Default, Granularity::Vm) => format!("the {cpus} vCPUs of an instance"),
        (Chosen::Default, Granularity::Local) => format!("the {cpus} CPUs of this machine"),
        (Chosen::Auto, _) if numbers.workload.is_none() => {
            format!("the default, to begin with, on {cpus} vCPUs")
        }
        (Chosen::Auto, _) => format!("chosen for {} on {cpus} vCPUs", aim(plan)),
    };
    format!("worker_processes {count}: {why}")
}

fn chunksize(plan: &Plan) -> String {
    let numbers = plan.numbers();
    let why = match numbers.chosen.1 {
        Chosen::Given => "as was said".to_owned(),
        Chosen::Default => "worker_processes, as nothing else was said".to_owned(),
        Chosen::Auto if plan.is_fed() => {
            "worker_processes: a live worker is given chunk after chunk, so their size hardly matters"
                .to_owned()
        }
        Chosen::Auto if numbers.workload.is_none() => {
            "one round of the sub-workers, to begin with".to_owned()
        }
        Chosen::Auto => format!("chosen for {}", aim(plan)),
    };
    format!("chunksize {}: {why}", numbers.chunksize)
}

fn aim(plan: &Plan) -> String {
    match plan.numbers().objective {
        _ if plan.numbers().capabilities.price.is_free() => "the shortest time".into(),
        Objective::Time => "the shortest time".into(),
        Objective::Cost => "the lowest price".into(),
        Objective::Balanced => "the least product of time and price".into(),
    }
}

fn workers(plan: &Plan) -> String {
    let Shape { calls, chunksize, max_workers, .. } = plan.numbers().shape();
    let (workers, live, waves) = (plan.workers(), plan.live_workers(), plan.waves());
    let many = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let division = format!("{calls} calls in chunks of {chunksize} are {}", many(workers, "hand-over"));
    if plan.is_fed() {
        format!("live workers {live}: {division}; workers stay, and are fed chunk after chunk")
    } else if waves > 1 {
        format!("workers {workers}: {division}; {max_workers} may live at once, so they run in {waves} waves")
    } else {
        format!("workers {workers}: {division}, all at once")
    }
}

/// What the start of workers takes and costs, where it counts.
fn start(plan: &Plan, prediction: &Prediction) -> Option<String> {
    const COUNTS: f64 = 0.01;
    let capabilities = &plan.numbers().capabilities;
    let (cold, live) = (capabilities.startup.cold.as_secs_f64(), plan.live_workers() as f64);
    if cold < COUNTS * prediction.makespan.as_secs_f64() {
        return None;
    }
    let mut said = format!("start {}: no call begins before", seconds(cold));
    if let Some(rate) = capabilities.startup.per_second.filter(|_| live > 1.0) {
        said += &format!(
            "; {rate} workers start in a second, so {live} of them take {} more",
            seconds(live / rate)
        );
    }
    if capabilities.price.bills_startup && !capabilities.price.is_free() {
        let usd = Cost::of(live * cold * capabilities.second_usd());
        said += &format!("; {} of starts are billed, {usd}", seconds(live * cold));
    }
    Some(said)
}

fn time(plan: &Plan, prediction: &Prediction) -> String {
    format!(
        "time {}: a chunk takes {}, sub-workers run calls {:.0} % of their time",
        seconds(prediction.makespan.as_secs_f64()),
        seconds(prediction.activation.as_secs_f64()),
        prediction.utilisation * 100.0,
    ) + &if plan.waves() > 1 { format!(", {} waves", plan.waves()) } else { String::new() }
}

/// What the price of a worker consists of, where it is more than one number.
fn hour(capabilities: &Capabilities) -> String {
    let Capabilities { price, worker_memory, worker_cpus, spot, .. } = capabilities;
    let discount = spot.map_or(0.0, |spot| spot.discount);
    if discount <= 0.0 && price.extras_hour_usd() <= 0.0 {
        return String::new();
    }
    let mut parts = format!("{} an hour", Cost::of(price.second_usd(*worker_memory, *worker_cpus) * 3600.0));
    if discount > 0.0 {
        parts += &format!(" less {:.0} % because it may be taken away", discount * 100.0);
    }
    for (usd, what) in [(price.address_hour_usd, "address"), (price.disk_hour_usd, "disks")] {
        if usd > 0.0 {
            parts += &format!(", {} for its {what}", Cost::of(usd));
        }
    }
    format!(" ({parts})")
}

fn money(plan: &Plan) -> String {
    let (numbers, cost) = (plan.numbers(), plan.cost());
    let price = &numbers.capabilities.price;
    let Some(prediction) = plan.prediction().filter(|_| !price.is_free()) else {
        return format!("cost: {cost}");
    };
    let requests = plan.workers() as f64 * price.hand_over_usd();
    let what =
        if numbers.capabilities.bills_lifetime() { "of the lives of workers" } else { "of activations" };
    format!(
        "cost {cost}: {} {what} are billed at ${:.3e} a second{}{}",
        seconds(prediction.billed.as_secs_f64()),
        numbers.capabilities.second_usd(),
        hour(&numbers.capabilities),
        if requests > 0.0 {
            let what = if price.chunk_usd > 0.0 { "chunks in the storage" } else { "requests" };
            format!(", and ${requests:.2e} for {} {what}", plan.workers())
        } else {
            String::new()
        },
    )
}
