//! Watches that end: connections that are cut, and an API server that knows nothing any more of what was before.

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

use super::{
    run::Trial,
    workers::{FED, PULL, all_right, four, working},
};
use crate::e2e::place::{NAMESPACE, Place};

pub(super) const TRIALS: &[(&str, Trial)] =
    &[("watches that are answered with 410 begin anew, and lose nothing", |place| gone(place, PULL))];

/// Those that are run with `--full` alone.
pub(super) const LONG: &[(&str, Trial)] = &[
    ("fed: watches that are answered with 410 begin anew, and lose nothing", |place| gone(place, FED)),
    ("watches that are cut every few seconds lose nothing", cut_watches),
];

/// The API server is killed and started again. It has forgotten the changes that were before: a watch that wants to go on from
/// there is answered with 410.
fn gone(place: &Place<'_>, dispatch: &str) -> Result<(), String> {
    let running = four(place, dispatch)?;
    let seen = place.audit()?.len();
    // What is older than this is too old for the new server.
    for what in [["create", "configmap", "newer"], ["delete", "configmap", "newer"]] {
        place.kubectl(&what)?;
    }
    place.cluster.restart_api_server()?;
    let mut old = None;
    place.until("the pods are listed again", || {
        let asked = place.audit()?.split_off(seen);
        old = old.take().or(asked.iter().find_map(watched_version));
        // A watch that was only cut would go on without a list.
        Ok(asked.iter().any(|asked| asked["verb"] == "list" && asked["objectRef"]["resource"] == "pods"))
    })?;
    let version = old.ok_or("no watch has tried to go on")?;
    let path =
        format!("/api/v1/namespaces/{NAMESPACE}/pods?watch=1&timeoutSeconds=5&resourceVersion={version}");
    let answer = place.cluster.kubectl(["get", "--raw", &path])?;
    let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
    if answer["object"]["code"] != 410 {
        return Err(format!("the watch that went on from {version} was not too old: {answer}"));
    }
    eprintln!("   a watch from version {version} is answered: {}", answer["object"]["message"]);
    // What happens from now on is seen by the new watches alone.
    let name = place.running()?[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    place.evict(&name)?;
    all_right(running)
}

/// The version that a watch of pods has gone on from.
fn watched_version(asked: &Value) -> Option<u64> {
    let is_watch = asked["verb"] == "watch" && asked["objectRef"]["resource"] == "pods";
    let (_, version) = asked["requestURI"].as_str().filter(|_| is_watch)?.split_once("resourceVersion=")?;
    version.split('&').next()?.parse().ok()
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
                working(place, &["map", "160", "500"], 4, &more)
            })
            .and_then(all_right);
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
