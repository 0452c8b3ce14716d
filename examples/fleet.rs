//! A job on the configured backend, which says what it is waiting for.
//!
//! `fleet map CALLS MILLISECONDS` runs a job, `fleet start CALLS MILLISECONDS` runs a durable one and prints its id first, and
//! `fleet attach JOB CALLS` goes on with it. Each call lasts that long. `fleet rate CALLS WORKERS` says how many calls that do
//! nothing are made in a second, in one chunk for each worker, once all workers run. `fleet latency CALLS` says how long single
//! calls take from `map` to the result, the first and then that many others. `fleet fill MEGABYTES` is a call that fills the disk of
//! its worker the first time, and `fleet hoard CALLS MEGABYTES` are calls of which the first takes that much memory. The configuration says how many workers there are. `fleet noted CALLS MILLISECONDS` is `map` whose
//! calls note in the storage that they begin: none may begin more often than is known. `fleet meet CALLS` is a job whose calls end
//! once all of them have begun. `fleet drop ..` and `fleet close ..` are `map`, after which the executor is dropped or closed while
//! the program stays; `fleet panic ..` panics once the first call has ended.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    reason = "what it prints is what it is for"
)]

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use lithops::{
    ErrorKind, JobEvent, StorageClient,
    blocking::{FunctionExecutor, FuturesList},
};

/// Where each call that begins is noted, below the id of the run.
const BEGUN: &str = "fleet-begun";
/// Where it is noted that all calls of a run have begun.
const ALL: &str = "fleet-all-begun";

/// What a call gives: its input, squared, and the machine that it has run on.
type Done = (u64, String);

#[lithops::function]
fn work((x, milliseconds): (u64, u64)) -> std::io::Result<Done> {
    thread::sleep(Duration::from_millis(milliseconds));
    Ok((x * x, std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned()))
}

#[lithops::function]
async fn noted((run, x, milliseconds): (String, u64, u64), storage: StorageClient) -> lithops::Result<Done> {
    let begun = format!("{BEGUN}/{run}/{x}-{}", uuid());
    storage.put_object(storage.bucket(), &begun, Vec::new()).await?;
    work((x, milliseconds)).map_err(Into::into)
}

/// Notes that it has begun, and waits until all calls of the run have.
#[lithops::function]
async fn meet((run, x): (String, u64), storage: StorageClient) -> lithops::Result<Done> {
    storage.put_object(storage.bucket(), &format!("{BEGUN}/{run}/{x}"), Vec::new()).await?;
    while storage.head_object(storage.bucket(), &format!("{ALL}/{run}")).await.is_err() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    work((x, 0)).map_err(Into::into)
}

/// A name that no other call has.
fn uuid() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", now.as_nanos(), std::process::id())
}

#[lithops::function]
fn nothing(x: u64) -> u64 {
    x
}

fn main() -> lithops::Result<()> {
    lithops::init();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let fexec = FunctionExecutor::builder().build()?;
    let events = fexec.events();
    thread::spawn(move || {
        for event in events {
            match event {
                JobEvent::Waiting { workers, why, .. } => eprintln!("{workers} workers wait: {why}"),
                JobEvent::Spending { spending, .. } => eprintln!("now {spending}"),
                JobEvent::WorkerLost { reason, .. } => eprintln!("a worker was lost: {reason}"),
                _ => {}
            }
        }
    });
    match arguments[..] {
        [what @ ("map" | "start"), calls, milliseconds] => {
            let (calls, milliseconds) = (number(calls)?, number(milliseconds)?);
            let map = fexec.map(work, (0..calls).map(move |x| (x, milliseconds)));
            let futures = if what == "start" { map.durable().run()? } else { map.run()? };
            if what == "start" {
                println!("{}", futures.job_id());
            }
            check(&futures.into(), calls)
        }
        ["noted", calls, milliseconds] => note(&fexec, number(calls)?, number(milliseconds)?),
        ["meet", calls] => met(&fexec, number(calls)?),
        ["rate", calls, workers] => rate(&fexec, number(calls)?, number(workers)?),
        ["drop", calls, milliseconds] => {
            check(&fexec.map(work, inputs(calls, milliseconds)?).run()?.into(), number(calls)?)?;
            drop(fexec);
            stay()
        }
        ["close", calls, milliseconds] => {
            check(&fexec.map(work, inputs(calls, milliseconds)?).run()?.into(), number(calls)?)?;
            fexec.close()?;
            stay()
        }
        ["panic", calls, milliseconds] => {
            let futures: FuturesList<Done> = fexec.map(work, inputs(calls, milliseconds)?).run()?.into();
            let first = futures.as_completed().next();
            panic!("the client panics after {first:?}");
        }
        ["fill", megabytes] => fill(&fexec, number(megabytes)?),
        ["hoard", calls, megabytes] => hoard(&fexec, number(calls)?, number(megabytes)?),
        ["latency", calls] => latency(&fexec, number(calls)?),
        ["attach", job, calls] => check(&fexec.attach(job.parse()?)?, number(calls)?),
        _ => Err(wrong("no such part").with_hint(
            "write `map CALLS MILLISECONDS`, `start ..`, `drop ..`, `close ..`, `panic ..`, `attach JOB CALLS`, `noted CALLS MILLISECONDS`, `meet CALLS`, `rate CALLS WORKERS`, `latency CALLS`, `fill MEGABYTES` or `hoard CALLS MEGABYTES`",
        )),
    }
}

fn inputs(calls: &str, milliseconds: &str) -> lithops::Result<impl Iterator<Item = (u64, u64)> + use<>> {
    let milliseconds = number(milliseconds)?;
    Ok((0..number(calls)?).map(move |x| (x, milliseconds)))
}

/// Stays without an executor until this process is killed.
fn stay() -> lithops::Result<()> {
    loop {
        thread::park();
    }
}

/// Runs a job whose calls note that they begin.
fn note(fexec: &FunctionExecutor, calls: u64, milliseconds: u64) -> lithops::Result<()> {
    let run = uuid();
    let inputs: Vec<_> = (0..calls).map(|x| (run.clone(), x, milliseconds)).collect();
    // The chunks of many calls are long enough that the storage is not what takes the time.
    let chunk = usize::try_from(calls / 1000).unwrap_or(usize::MAX).max(1);
    let futures: FuturesList<Done> = fexec.map(noted, inputs).chunksize(chunk).run()?.into();
    check(&futures, calls)?;
    let storage = fexec.storage();
    let begun = tokio::runtime::Runtime::new()?.block_on(async {
        let begun = storage.list_keys(storage.bucket(), &format!("{BEGUN}/{run}/")).await?;
        let count = begun.len() as u64;
        storage.delete_objects(storage.bucket(), begun).await?;
        Ok::<_, lithops::Error>(count)
    })?;
    let retried = futures.progress().retried;
    if begun < calls || begun > calls + retried {
        return Err(wrong(&format!("{begun} calls began, of {calls} and {retried} that were tried again")));
    }
    println!("{begun} calls began");
    Ok(())
}

/// Runs a job whose calls all run at once.
fn met(fexec: &FunctionExecutor, calls: u64) -> lithops::Result<()> {
    let run = uuid();
    let inputs: Vec<_> = (0..calls).map(|x| (run.clone(), x)).collect();
    let futures: FuturesList<Done> = fexec.map(meet, inputs).run()?.into();
    let storage = fexec.storage();
    let (begun, all) = (format!("{BEGUN}/{run}/"), format!("{ALL}/{run}"));
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        while (storage.list_keys(storage.bucket(), &begun).await?.len() as u64) < calls {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        storage.put_object(storage.bucket(), &all, Vec::new()).await
    })?;
    check(&futures, calls)?;
    runtime.block_on(async {
        for key in storage.list_keys(storage.bucket(), &begun).await?.iter().chain([&all]) {
            storage.delete_object(storage.bucket(), key).await?;
        }
        Ok(())
    })
}

fn rate(fexec: &FunctionExecutor, calls: u64, workers: u64) -> lithops::Result<()> {
    // Each worker has a call until the last one runs.
    let begun = (0..workers).map(|x| (x, 5_000));
    let machines: BTreeSet<_> = fexec
        .map(work, begun)
        .chunksize(1)
        .run()?
        .get_result()?
        .into_iter()
        .map(|(_, machine)| machine)
        .collect();
    let chunk = usize::try_from(calls / workers).unwrap_or(usize::MAX).max(1);
    for _ in 0..3 {
        let began = Instant::now();
        let results = fexec.map(nothing, 0..calls).chunksize(chunk).run()?.get_result()?;
        let took = began.elapsed().as_secs_f64();
        if !results.into_iter().eq(0..calls) {
            return Err(wrong("a result is not right"));
        }
        println!("{calls} calls on {} machines: {:.0} calls/s", machines.len(), calls as f64 / took);
    }
    Ok(())
}

/// Fills the disk of the worker the first time that it is called, and waits for what happens; says how often it was called
/// before. Where the disk is memory, the kernel ends a process for it: the worker is to be the first.
#[lithops::function]
async fn filled((run, megabytes): (String, u64), storage: StorageClient) -> lithops::Result<u64> {
    let begun = format!("{BEGUN}/{run}/");
    let before = storage.list_keys(storage.bucket(), &begun).await?.len() as u64;
    storage.put_object(storage.bucket(), &format!("{begun}{}", uuid()), Vec::new()).await?;
    if before == 0 {
        let worker = std::os::unix::process::parent_id();
        std::fs::write(format!("/proc/{worker}/oom_score_adj"), "1000")?;
        let file = std::env::temp_dir().join("filled");
        for _ in 0..megabytes {
            use std::io::Write as _;
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&file)?;
            file.write_all(&vec![1; 1 << 20])?;
        }
        thread::sleep(Duration::from_secs(240));
    }
    Ok(before)
}

fn fill(fexec: &FunctionExecutor, megabytes: u64) -> lithops::Result<()> {
    match fexec.call_async(filled, (uuid(), megabytes)).run()?.result()? {
        1 => println!("the disk was filled once, and then not"),
        other => println!("the call began {other} times before"),
    }
    Ok(())
}

/// Takes memory, and touches it.
#[lithops::function]
fn taken(megabytes: u64) -> usize {
    let taken: Vec<Vec<u8>> = (0..megabytes).map(|number| vec![number as u8 | 1; 1 << 20]).collect();
    taken.iter().flatten().filter(|byte| **byte != 0).count()
}

/// Runs a job whose first call takes this much memory; the others must succeed.
fn hoard(fexec: &FunctionExecutor, calls: u64, megabytes: u64) -> lithops::Result<()> {
    let takes = (0..calls).map(move |call| if call == 0 { megabytes } else { 0 });
    let futures = fexec.map(taken, takes).run()?;
    let mut outcomes = futures.outcomes()?.into_iter();
    match outcomes.next() {
        Some(Err(error)) => println!("{:?}: {error}", error.kind()),
        other => println!("the first call gave {other:?}"),
    }
    match outcomes.find(|outcome| !matches!(outcome, Ok(0))) {
        None => println!("all others are right; {} workers were lost", futures.progress().lost_workers),
        Some(other) => println!("another call gave {other:?}"),
    }
    Ok(())
}

fn latency(fexec: &FunctionExecutor, calls: u64) -> lithops::Result<()> {
    let once = || -> lithops::Result<f64> {
        let began = Instant::now();
        fexec.map(nothing, 0..1).run()?.get_result()?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    };
    println!("first: {:.1} ms", once()?);
    let mut took = (0..calls).map(|_| once()).collect::<lithops::Result<Vec<_>>>()?;
    took.sort_by(f64::total_cmp);
    if let (Some(last), median) = (took.last(), took[took.len() / 2]) {
        println!("warm: median {median:.1} ms, longest {last:.1} ms");
    }
    Ok(())
}

fn number(text: &str) -> lithops::Result<u64> {
    text.parse().map_err(|_| wrong("no number").with_hint(format!("write a number instead of `{text}`")))
}

/// Waits for all results, which must be right.
fn check(futures: &FuturesList<Done>, calls: u64) -> lithops::Result<()> {
    let results = futures.get_result()?;
    let is_right =
        results.len() as u64 == calls && (0..calls).zip(&results).all(|(x, (square, _))| x * x == *square);
    if !is_right {
        return Err(wrong("a result is not right"));
    }
    let machines: BTreeSet<_> = results.iter().map(|(_, machine)| machine).collect();
    let progress = futures.progress();
    eprintln!("{}", futures.summary());
    println!(
        "all {calls} results are right, from {} machines; {} workers were lost, {} calls were tried again",
        machines.len(),
        progress.lost_workers,
        progress.retried
    );
    Ok(())
}

fn wrong(what: &str) -> lithops::Error {
    lithops::Error::new(ErrorKind::InvalidInput, what)
}
