//! How many calls that do nothing run in a second on pods of Knative, with optimised programs: a measurement, so that no
//! end-to-end run depends on how busy the machine is.

use super::run::KNATIVE;
use crate::{
    cluster::{Cluster, Options},
    e2e::place::Place,
    steps,
    workspace::{built, cargo},
};

/// The calls in a second that must be reached.
const WANTED: f64 = 50_000.0;

/// Measures activations in one client, and then calls on 10 pods.
pub(crate) fn measure() -> Result<(), String> {
    let build = ["build", "--release", "--quiet", "-p", "lithops", "-p", "lithops-activations"];
    let what = ["--example=fleet", "--example=many", "--features=lithops/knative,lithops/minio"];
    steps::run(cargo().args(build).args(what))?;
    let release = built("release")?;
    steps::run(&mut std::process::Command::new(release.join("examples/many")))?;
    let folder = Some(built("cluster-e2e")?);
    let options = Options { knative: true, install: true, folder, anew: true, ..Options::default() };
    let cluster = Cluster::up(&options)?;
    let measured = Place::new(&KNATIVE, &cluster, release).and_then(|place| {
        place.run("examples/fleet", &["rate", "10000", "10"], "runtime_cpu: 1, max_workers: 10")
    });
    cluster.down()?;
    let measured = measured?;
    let rates = measured.says("10000 calls on 10 machines: ")?.stdout.lines().filter_map(rate);
    let best = rates.fold(0.0, f64::max);
    eprint!("{}", measured.stdout.lines().map(|line| format!("   {line}\n")).collect::<String>());
    if best < WANTED {
        return Err(format!("{best} calls in a second, and {WANTED} are wanted"));
    }
    Ok(())
}

/// The number of a line such as `10000 calls on 10 machines: 61234 calls/s`.
fn rate(line: &str) -> Option<f64> {
    line.rsplit_once(": ")?.1.strip_suffix(" calls/s")?.parse().ok()
}
