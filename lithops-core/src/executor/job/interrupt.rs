//! Ctrl-C: ends the jobs of the program, so that no worker runs on and costs money, and then ends the
//! program. A panic of its main thread ends them too.

use std::{
    fs,
    future::Future,
    sync::{
        Arc, Mutex, Once, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

use super::JobState;
use crate::{executor::terminal::status_line, runtime};

/// The exit code of an interrupted program, by the convention of shells: 128 + 2, the number of `SIGINT`.
const EXIT_INTERRUPTED: i32 = 130;
/// How long ending the jobs may take before the program exits anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// The jobs that an interruption ends.
static JOBS: Mutex<Vec<Weak<JobState>>> = Mutex::new(Vec::new());
/// The number of tasks that drive jobs or end invocations.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Registers a job that an interruption is to end. The first job makes the program listen for `SIGINT`,
/// unless the program handles or ignores the signal itself.
pub(crate) fn note(job: &Arc<JobState>) {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        if is_default() {
            runtime::driver().spawn(async {
                // If the handler cannot be installed, the program ends as it would without this library.
                if let Ok(interrupts) = signal(SignalKind::interrupt()) {
                    wait(interrupts).await;
                }
            });
        }
    });
    let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
    if jobs.len() == jobs.capacity() {
        jobs.retain(|job| job.strong_count() > 0);
    }
    jobs.push(Arc::downgrade(job));
}

/// Ends the jobs of an executor that is dropped because the program's main thread panics: the program is about to end,
/// and does not ask for their results any more. Their stored data stays.
pub(crate) fn end_if_main_panics(jobs: &[Weak<JobState>]) {
    let current = thread::current();
    if !thread::panicking() || current.name() != Some("main") || runtime::is_driver() {
        return;
    }
    for job in jobs.iter().filter_map(Weak::upgrade).filter(|job| !job.progress().is_finished()) {
        job.interrupt();
    }
    // The task that drives a job holds it to its end; jobs of other executors may be at work too.
    let until = Instant::now() + PATIENCE;
    let is_driven = |job: &Weak<JobState>| job.strong_count() > 0;
    while at_work() > 0 && jobs.iter().any(is_driven) && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a task that ends an invocation. An interruption of the program waits for it.
pub(crate) fn end(ending: impl Future<Output = ()> + Send + 'static) {
    let at_work = AtWork::begin();
    tokio::spawn(async move {
        ending.await;
        drop(at_work);
    });
}

/// A guard: while it exists, an interruption of the program waits for its task.
#[derive(Debug)]
pub(crate) struct AtWork(());

impl AtWork {
    pub(crate) fn begin() -> Self {
        AT_WORK.fetch_add(1, Ordering::AcqRel);
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The number of tasks that an interruption of the program waits for.
pub(crate) fn at_work() -> usize {
    AT_WORK.load(Ordering::Acquire)
}

/// Whether the program neither handles nor ignores `SIGINT`, by the signal masks in `/proc/self/status`.
fn is_default() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_set = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        mask & (1 << (SignalKind::interrupt().as_raw_value() - 1)) != 0
    };
    !is_set("SigCgt:") && !is_set("SigIgn:")
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "the user has asked for the program's end")]
async fn wait(mut interrupts: Signal) {
    interrupts.recv().await;
    status_line::erase();
    let live: Vec<_> = {
        let jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.iter().filter_map(Weak::upgrade).filter(|job| !job.progress().is_finished()).collect()
    };
    for job in &live {
        let progress = job.progress();
        let place = format!("{} of {} calls of `{}` are done", progress.done, progress.known, job.function());
        let id = job.id();
        let rest = match (job.locator().is_some(), job.is_detached()) {
            (false, _) => "the others are cancelled".to_owned(),
            (true, false) => format!("what runs is ended, and `fexec.attach` goes on with job {id}"),
            (true, true) => format!("what runs goes on, and so does `fexec.attach` with job {id}"),
        };
        say(&format!("interrupted: {place}; {rest}"));
        job.interrupt();
    }
    // The program's own code is not told: it might exit before the workers elsewhere are ended.
    let ended = async {
        while at_work() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        done = timeout(PATIENCE, ended) => if done.is_err() {
            say(&format!("some workers could not be ended within {PATIENCE:?}, and may run on until their timeout"));
        },
        // A second Ctrl-C exits at once.
        _ = interrupts.recv() => {}
    }
    std::process::exit(EXIT_INTERRUPTED);
}

#[expect(clippy::print_stderr, reason = "the program ends, and whoever has interrupted it is there to read")]
fn say(message: &str) {
    eprintln!("lithops: {message}");
}
