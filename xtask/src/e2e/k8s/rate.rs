//! How soon and how fast calls run in pods, with optimised programs: a measurement, so that no end-to-end run depends on how
//! busy the machine is.

use super::run::K8S;
use crate::{
    cluster::{Cluster, Options},
    e2e::place::Place,
    steps,
    workspace::{built, cargo},
};

/// What must be reached by the best of some runs: milliseconds from `map` to the result of a call, where no pod runs but the
/// nodes have the image, and on pods that run already.
const COLD: f64 = 3_000.0;
const WARM_PULL: f64 = 600.0;
const WARM_FED: f64 = 200.0;
/// Calls in a second that do nothing, on 4 pods that are fed.
const RATE: f64 = 100_000.0;

/// How often each is measured.
const RUNS: usize = 3;
/// How many warm calls one run has.
const CALLS: &str = "20";

/// Measures single calls on pods that pull and on pods that are fed, and then 10,000 calls.
pub(crate) fn measure() -> Result<(), String> {
    let build = ["build", "--release", "--quiet", "-p", "lithops", "--example=fleet"];
    steps::run(cargo().args(build).arg("--features=lithops/k8s,lithops/minio"))?;
    let folder = Some(built("cluster-e2e")?);
    let cluster = Cluster::up(&Options { install: true, folder, anew: true, ..Options::default() })?;
    let measured =
        built("release").and_then(|release| Place::new(&K8S, &cluster, release)).and_then(|place| {
            place.clear()?;
            on(&place)
        });
    let ended = cluster.down();
    measured.and(ended)
}

fn on(place: &Place<'_>) -> Result<(), String> {
    // Afterwards both nodes have the image.
    place.run("examples/fleet", &["map", "8", "500"], "max_workers: 8")?.says("all 8 results are right")?;
    let mut missed = Vec::new();
    let mut judge = |what: &str, all: &[f64], is_reached: bool| {
        let all: Vec<_> = all.iter().map(|one| format!("{one:.1}")).collect();
        eprintln!("   {what}: {}", all.join(", "));
        if !is_reached {
            missed.push(what.to_owned());
        }
    };
    for (dispatch, wanted) in [("pull", WARM_PULL), ("fed", WARM_FED)] {
        let (mut first, mut median, mut longest) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let more = format!("max_workers: 1, dispatch: {dispatch}");
            let ran = place.run("examples/fleet", &["latency", CALLS], &more)?;
            let of = |name: &str| number_after(&ran.says("warm: ")?.stdout, name);
            first.push(of("first: ")?);
            median.push(of("median ")?);
            longest.push(of("longest ")?);
        }
        let least = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
        judge(&format!("{dispatch}: first result, ms"), &first, least(&first) <= COLD);
        judge(&format!("{dispatch}: warm call, median of {CALLS}, ms"), &median, least(&median) <= wanted);
        judge(&format!("{dispatch}: warm call, longest of {CALLS}, ms"), &longest, true);
    }
    let ran = place.run("examples/fleet", &["rate", "10000", "4"], "max_workers: 4, dispatch: fed")?;
    let lines = ran.says("10000 calls on 4 machines: ")?.stdout.lines();
    let rates = lines.map(|line| number_after(line, "machines: ")).collect::<Result<Vec<_>, _>>()?;
    let most = rates.iter().copied().fold(0.0, f64::max);
    judge("fed: 10,000 calls on 4 pods, calls/s", &rates, most >= RATE);
    if missed.is_empty() { Ok(()) } else { Err(format!("not reached: {}", missed.join("; "))) }
}

/// The number behind a word.
fn number_after(text: &str, word: &str) -> Result<f64, String> {
    let number = || text.split_once(word)?.1.split(' ').next()?.parse().ok();
    number().ok_or_else(|| format!("no number is behind `{word}` in: {text}"))
}
