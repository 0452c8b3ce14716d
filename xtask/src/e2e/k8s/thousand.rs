//! A thousand pods that start no process, on nodes that kwok plays: what they cost the API server.

use std::time::Instant;

use serde_json::Value;

use super::run::Trial;
use crate::e2e::place::Place;

pub(super) const LONG: &[(&str, Trial)] = &[("a thousand pods without processes", thousand_pods)];

/// The most requests of the client, from its start until a thousand pods run: none is made for a pod.
const REQUESTS: usize = 100;

fn thousand_pods(place: &Place<'_>) -> Result<(), String> {
    let before = place.requests()?;
    let (seen, begun) = (place.audit()?.len(), Instant::now());
    let more = "max_workers: 1000, node_selector: {type: kwok}, tolerations: [{key: kwok.x-k8s.io/node, operator: Exists}]";
    let mut running = place.start("examples/fleet", &["map", "1000", "60000"], more)?;
    place.until_of(&mut running, "a thousand pods run", |_| {
        let selected =
            ["get", "pods", "-l", "lithops/fleet", "--field-selector=status.phase=Running", "-o=name"];
        Ok(place.kubectl(&selected)?.lines().count() == 1000)
    })?;
    let started = begun.elapsed();
    let (after, asked) = (place.requests()?, place.audit()?.split_off(seen));
    let of_client = asked.iter().filter(|asked| asked["objectRef"]["resource"] != Value::Null).count();
    let all = after - before;
    eprintln!(
        "   1,000 pods run after {:.1} s; the API server had {all} requests, {:.1} for each pod, {of_client} of them of the client",
        started.as_secs_f64(),
        all as f64 / 1000.0,
    );
    running.interrupt()?;
    running.end()?;
    let interrupted = Instant::now();
    place.until("all of it is gone", || {
        Ok(place.objects("jobs")?.is_empty() && place.objects("pods")?.is_empty())
    })?;
    eprintln!(
        "   all of it was gone {:.1} s after the program had ended",
        interrupted.elapsed().as_secs_f64()
    );
    if of_client > REQUESTS {
        return Err(format!("the client has made {of_client} requests, and {REQUESTS} are enough"));
    }
    Ok(())
}
