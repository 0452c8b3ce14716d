//! Trials that take minutes: a cluster that is never quiet, disks that fill, connections that are cut, and a thousand pods.

use std::{
    io::{self, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use super::run::Trial;
use crate::e2e::place::{Place, Ran, Running};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("20,000 calls while pods are evicted and killed, and a node is drained and comes back", churn),
    ("fed: 20,000 calls while pods are evicted and killed, and a node is drained and comes back", fed_churn),
    ("a worker that fills its disk is evicted, and its call runs again", disk),
    ("watches that are cut every few seconds lose nothing", cut_watches),
    ("an API server that is restarted loses nothing", restarted),
];

/// Something happens to a pod this often.
const BETWEEN: Duration = Duration::from_secs(4);

fn churn(place: &Place<'_>) -> Result<(), String> {
    unquiet(place, "max_workers: 8, lease: 6s, worker_processes: 1")
}

fn fed_churn(place: &Place<'_>) -> Result<(), String> {
    unquiet(place, "max_workers: 8, dispatch: fed, worker_processes: 1")
}

fn unquiet(place: &Place<'_>, more: &str) -> Result<(), String> {
    let mut running = place.start("examples/fleet", &["map", "20000", "15"], more)?;
    let ended = disturb(place, &mut running);
    // Also after a failure.
    let back = place.cluster.kubectl(["uncordon", "node1"]);
    let (done, ran) = (ended?, running.end()?);
    back?;
    let told = ran.says("all 20000 results are right")?.stdout.trim().to_owned();
    eprintln!("   {done} pods were taken away: {told}");
    Ok(())
}

/// Takes pods away until the program has ended; says how many.
fn disturb(place: &Place<'_>, running: &mut Running) -> Result<usize, String> {
    let (mut next, mut done) = (Instant::now() + BETWEEN, 0);
    while !running.has_ended()? {
        std::thread::sleep(Duration::from_millis(100));
        if next > Instant::now() {
            continue;
        }
        next = Instant::now() + BETWEEN;
        let pods = place.running()?;
        let Some(name) = pods.get(done % pods.len().max(1)).and_then(|pod| pod["metadata"]["name"].as_str())
        else {
            continue;
        };
        done += 1;
        match done {
            3 => {
                let drain = ["drain", "node1", "--ignore-daemonsets", "--delete-emptydir-data", "--force"];
                place.cluster.kubectl(drain.iter().chain(&["--timeout=60s"]))?;
            }
            5 => drop(place.cluster.kubectl(["uncordon", "node1"])?),
            // It may have ended meanwhile.
            odd if odd % 2 == 1 => {
                drop(place.kubectl(&["delete", "pod", name, "--grace-period=0", "--force"]))
            }
            _ => drop(place.evict(name)),
        }
    }
    Ok(done)
}

fn disk(place: &Place<'_>) -> Result<(), String> {
    let ran =
        place.run("examples/fleet", &["fill", "400"], "max_workers: 1, ephemeral_storage: 128, lease: 6s")?;
    ran.says("the disk was filled once, and then not").map(drop)
}

fn restarted(place: &Place<'_>) -> Result<(), String> {
    let running = four_workers(place, "max_workers: 4, lease: 6s")?;
    place.cluster.restart_api_server()?;
    running.end()?.says("all 160 results are right").map(drop)
}

fn four_workers(place: &Place<'_>, more: &str) -> Result<Running, String> {
    let mut running = place.start("examples/fleet", &["map", "160", "500"], more)?;
    place.until("four workers run", || {
        if running.has_ended()? {
            return Err(format!("the program ended: {}", running.stderr()));
        }
        Ok(place.running()?.len() == 4)
    })?;
    Ok(running)
}

/// The client reaches the API server through a proxy that cuts every connection every three seconds.
fn cut_watches(place: &Place<'_>) -> Result<(), String> {
    let server = place.server()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (told, port) = std::sync::mpsc::channel();
        let is_over = &is_over;
        let proxy = scope.spawn(move || place.cluster.within(|| proxy(&server, &told, is_over)));
        let ran = port
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| "the proxy does not listen".to_owned())
            .and_then(|port: u16| {
                let more =
                    format!("max_workers: 4, lease: 6s, kubecfg_path: '{}'", place.through(port)?.display());
                four_workers(place, &more)?.end()
            })
            .and_then(|ran: Ran| ran.says("all 160 results are right").map(drop));
        is_over.store(true, Ordering::Relaxed);
        let proxied = proxy.join().unwrap_or_else(|_| Err("the proxy panicked".to_owned()))?;
        ran?;
        match proxied.map_err(|error| error.to_string())? {
            0 => Err("no connection was cut".to_owned()),
            cut => {
                eprintln!("   {cut} connections were cut");
                Ok(())
            }
        }
    })
}

/// Passes connections on to the server; gives how many were cut.
fn proxy(server: &str, told: &std::sync::mpsc::Sender<u16>, is_over: &AtomicBool) -> io::Result<usize> {
    const EVERY: Duration = Duration::from_secs(3);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    // If this fails, the receiver has been dropped.
    let _ = told.send(listener.local_addr()?.port());
    let open: Mutex<Vec<TcpStream>> = Mutex::default();
    let (mut cut, mut next) = (0, Instant::now() + EVERY);
    let cut_all = || {
        let all = std::mem::take(&mut *open.lock().unwrap_or_else(PoisonError::into_inner));
        // One that is closed already cannot be cut.
        all.iter().filter(|stream| stream.shutdown(Shutdown::Both).is_ok()).count()
    };
    std::thread::scope(|scope| {
        while !is_over.load(Ordering::Relaxed) {
            if next <= Instant::now() {
                cut += cut_all();
                next = Instant::now() + EVERY;
            }
            match listener.accept() {
                Ok((client, _)) => {
                    client.set_nonblocking(false)?;
                    let server = TcpStream::connect(server)?;
                    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
                        open.lock().unwrap_or_else(PoisonError::into_inner).push(from.try_clone()?);
                        scope.spawn(move || {
                            // A connection that is cut ends both directions.
                            let _ = io::copy(&mut from, &mut to).and_then(|_| to.flush());
                            let _ = to.shutdown(Shutdown::Both);
                        });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error),
            }
        }
        cut_all();
        Ok(cut)
    })
}

/// A thousand pods that start no process: what they cost the API server.
pub(super) fn thousand_pods(place: &Place<'_>) -> Result<(), String> {
    let before = place.requests()?;
    let (seen, begun) = (place.audit()?.len(), Instant::now());
    let more = "max_workers: 1000, node_selector: {type: kwok}, tolerations: [{key: kwok.x-k8s.io/node, operator: Exists}]";
    let mut running = place.start("examples/fleet", &["map", "1000", "60000"], more)?;
    place.until("a thousand pods run", || {
        if running.has_ended()? {
            return Err(format!("the program ended: {}", running.stderr()));
        }
        Ok(place.running()?.len() == 1000)
    })?;
    let started = begun.elapsed();
    let (after, asked) = (place.requests()?, place.audit()?.split_off(seen));
    let of_client = asked.iter().filter(|asked| asked["objectRef"]["resource"] != Value::Null).count();
    eprintln!(
        "   1,000 pods run after {:.1} s; the API server had {} requests, {of_client} of them of the client",
        started.as_secs_f64(),
        after - before,
    );
    let pid = running.pid().to_string();
    crate::steps::run(std::process::Command::new("kill").args(["-INT", &pid]))?;
    running.end()?;
    place.until("all of it is gone", || {
        Ok(place.objects("jobs")?.is_empty() && place.objects("pods")?.is_empty())
    })
}
