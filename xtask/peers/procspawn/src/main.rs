//! One measurement of one workload by procspawn, as a line of JSON: `peer-procspawn WORKLOAD N`. The workloads are
//! those of `examples/bench/` in the workspace above.

use std::{
    collections::VecDeque,
    fs,
    hint::black_box,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use procspawn::{JoinHandle, Pool};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

const SIZE: usize = 1 << 20;

fn main() {
    procspawn::init();
    let arguments: Vec<String> = std::env::args().collect();
    let (workload, count) = (arguments[1].as_str(), arguments[2].parse().expect("a number"));
    let value = match workload {
        "seed" => return seed(count),
        "start" => start(),
        "noop" => noop(count),
        "memory" => memory(count),
        "latency" => return latency(count),
        "bytes" => bytes(count),
        "cpu" => cpu(count),
        "skew" => skew(count),
        "kill" => kill(),
        other => panic!("there is no workload `{other}`"),
    };
    println!("{{\"value\": {value}}}");
}

fn cpus() -> usize {
    thread::available_parallelism().expect("it says so").get()
}

fn pool() -> Pool {
    Pool::new(cpus()).expect("a pool")
}

fn warm_pool() -> Pool {
    let pool = pool();
    map(&pool, 0..2 * cpus() as u64, |x: u64| x);
    pool
}

fn map<A, R>(pool: &Pool, inputs: impl IntoIterator<Item = A>, function: fn(A) -> R) -> Vec<R>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let handles: Vec<_> = inputs.into_iter().map(|input| pool.spawn(input, function)).collect();
    handles.into_iter().map(|handle| handle.join().expect("a value")).collect()
}

/// As `map`, with as many pending as there are processes: with more large arguments than that, procspawn hangs.
fn a_few_at_once<A, R>(pool: &Pool, inputs: Vec<A>, function: fn(A) -> R) -> Vec<R>
where
    A: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    let (mut pending, mut values) = (VecDeque::new(), Vec::new());
    for input in inputs {
        if pending.len() == cpus() {
            let handle: JoinHandle<R> = pending.pop_front().expect("it is not empty");
            values.push(handle.join().expect("a value"));
        }
        pending.push_back(pool.spawn(input, function));
    }
    values.extend(pending.into_iter().map(|handle| handle.join().expect("a value")));
    values
}

fn seed(count: u64) {
    let pool = Pool::new(4).expect("a pool");
    let values = map(&pool, 0..count, |x: u64| {
        println!("I'm activation number {x}");
        x + 7
    });
    println!("{values:?}");
}

fn start() -> f64 {
    let begun = Instant::now();
    let value = pool().spawn(7u64, |x| x).join().expect("a value");
    assert_eq!(value, 7);
    begun.elapsed().as_secs_f64() * 1e3
}

fn noop(count: u64) -> f64 {
    let pool = warm_pool();
    let begun = Instant::now();
    let values = map(&pool, 0..count, |x: u64| x);
    let took = begun.elapsed().as_secs_f64();
    assert!(values.into_iter().eq(0..count));
    count as f64 / took
}

fn memory(count: u64) -> f64 {
    let pool = warm_pool();
    fs::write("/proc/self/clear_refs", "5").expect("it starts anew");
    let before = resident("VmRSS");
    let values = map(&pool, 0..count, |x: u64| x);
    let peak = resident("VmHWM");
    assert!(values.into_iter().eq(0..count));
    peak - before
}

/// In MB.
fn resident(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("the status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024.0 / 1e6
}

fn latency(count: u64) {
    let pool = warm_pool();
    let mut micros = Vec::new();
    for call in 0..count + count / 10 {
        let begun = Instant::now();
        let value = pool.spawn(call, |x| x).join().expect("a value");
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
        assert_eq!(value, call);
    }
    let mut micros = micros.split_off(micros.len() - count as usize);
    micros.sort_by(f64::total_cmp);
    println!("{{\"value\": {}, \"p99\": {}}}", micros[micros.len() / 2], micros[micros.len() * 99 / 100]);
}

fn bytes(count: u64) -> f64 {
    let pool = warm_pool();
    let inputs: Vec<_> = (0..count).map(|call| ByteBuf::from(vec![(call % 251) as u8; SIZE])).collect();
    // Once untimed: memory that nobody has used lately may cost the machine more than all the rest.
    assert!(a_few_at_once(&pool, inputs.clone(), |data: ByteBuf| data) == inputs);
    let given = inputs.clone();
    let begun = Instant::now();
    let values = a_few_at_once(&pool, given, |data: ByteBuf| data);
    let took = begun.elapsed().as_secs_f64();
    assert!(values == inputs);
    (2 * count) as f64 / took
}

/// Computes this many rounds, and says how many nanoseconds that took.
fn computes(rounds: u64) -> u64 {
    let begun = Instant::now();
    let mut number = rounds | 1;
    for _ in 0..rounds {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).rotate_left(7));
    }
    begun.elapsed().as_nanos() as u64
}

fn rounds_of(duration: Duration) -> f64 {
    const PROBE: u64 = 10_000_000;
    let least = (0..9).map(|_| computes(PROBE)).min().expect("nine");
    PROBE as f64 * duration.as_nanos() as f64 / least as f64
}

fn on_threads(count: u64, rounds: u64) -> f64 {
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..cpus() {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    black_box(computes(rounds));
                }
            });
        }
    });
    begun.elapsed().as_secs_f64()
}

fn cpu(count: u64) -> f64 {
    let (pool, rounds) = (warm_pool(), rounds_of(Duration::from_millis(50)) as u64);
    let before = on_threads(count, rounds);
    let begun = Instant::now();
    map(&pool, vec![rounds; count as usize], computes);
    let took = begun.elapsed().as_secs_f64();
    (before + on_threads(count, rounds)) / 2.0 / took
}

fn skew(count: u64) -> f64 {
    let (pool, rounds) = (warm_pool(), rounds_of(Duration::from_millis(5)));
    let quantile = |call: u64| ((call * 7_919 % count) as f64 + 0.5) / count as f64;
    let inputs: Vec<_> = (0..count).map(|call| (-rounds * (1.0 - quantile(call)).ln()) as u64).collect();
    let begun = Instant::now();
    let took = map(&pool, inputs, computes);
    let wall = begun.elapsed().as_secs_f64();
    let mut free = vec![0u64; cpus()];
    took.into_iter().for_each(|nanos| *free.iter_mut().min().expect("CPUs") += nanos);
    wall * 1e9 / free.into_iter().max().expect("CPUs") as f64
}

/// Its one call is not tried again: what is told is the error.
fn kill() -> f64 {
    let pool = warm_pool();
    let started = std::env::temp_dir().join(format!("peer-procspawn-{}", std::process::id()));
    let handle = pool.spawn(started.clone(), |started: PathBuf| -> u64 {
        if started.exists() {
            return nanos();
        }
        fs::write(&started, std::process::id().to_string()).expect("written");
        loop {
            thread::park();
        }
    });
    let pid = loop {
        match fs::read_to_string(&started) {
            Ok(pid) if !pid.is_empty() => break pid,
            _ => thread::sleep(Duration::from_millis(1)),
        }
    };
    let killed = nanos();
    Command::new("kill").args(["-KILL", &pid]).status().expect("killed");
    let again = handle.join();
    fs::remove_file(&started).expect("removed");
    match again {
        Ok(started) => (started - killed) as f64 / 1e6,
        Err(error) => panic!("the call is lost: {error}"),
    }
}

fn nanos() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}
