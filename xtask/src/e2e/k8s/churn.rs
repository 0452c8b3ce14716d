//! A cluster that is never quiet: pods are evicted and killed every few seconds, and a node is drained and comes back.

use std::time::{Duration, Instant};

use super::run::Trial;
use crate::e2e::place::{Place, Running};

pub(super) const LONG: &[(&str, Trial)] = &[
    ("20,000 calls while pods are evicted and killed, and a node is drained and comes back", |place| {
        unquiet(place, "lease: 6s")
    }),
    ("fed: 20,000 calls while pods are evicted and killed, and a node is drained and comes back", |place| {
        unquiet(place, "dispatch: fed")
    }),
];

/// Something happens to a pod this often.
const BETWEEN: Duration = Duration::from_secs(4);
/// The node is drained as this event, and comes back as that one.
const DRAINED: usize = 3;
const BACK: usize = 5;

fn unquiet(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    let more = format!("max_workers: 8, worker_processes: 1, {dispatch}");
    // Each call notes in the storage that it begins.
    let mut running = place.start("examples/fleet", &["noted", "20000", "20"], &more)?;
    let begun = Instant::now();
    let ended = disturb(place, &mut running);
    // Also after a failure.
    let back = place.cluster.kubectl(["uncordon", "node1"]);
    let (done, ran) = (ended?, running.end()?);
    back?;
    ran.says("all 20000 results are right")?.says(" calls began")?;
    let told = ran.stdout.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    eprintln!("   {done} disturbances in {:.0} s: {told}", begun.elapsed().as_secs_f64());
    if done <= BACK {
        return Err(format!("the calls have ended after {done} disturbances: the node has not come back"));
    }
    Ok(())
}

/// Takes pods away until the program has ended; says how often something was done.
fn disturb(place: &Place<'_>, running: &mut Running) -> Result<usize, String> {
    let (mut next, mut done) = (Instant::now() + BETWEEN, 0);
    while !running.has_ended()? {
        std::thread::sleep(Duration::from_millis(100));
        if next > Instant::now() {
            continue;
        }
        let pods = place.running()?;
        next = Instant::now() + BETWEEN;
        let Some(name) = pods.get(done % pods.len().max(1)).and_then(|pod| pod["metadata"]["name"].as_str())
        else {
            continue;
        };
        done += 1;
        match done {
            DRAINED => place.drain("node1")?,
            BACK => drop(place.cluster.kubectl(["uncordon", "node1"])?),
            // It may have ended meanwhile.
            odd if odd % 2 == 1 => {
                drop(place.kubectl(&["delete", "pod", name, "--grace-period=0", "--force"]))
            }
            _ => drop(place.evict(name)),
        }
    }
    Ok(done)
}
