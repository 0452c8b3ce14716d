//! [`Life`]: what an environment does from its start to its end.

use std::{
    process::ExitStatus,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::{
    process::Child,
    sync::{mpsc, oneshot},
    task::{JoinSet, spawn_blocking},
};

use super::{
    Completion, Failure, Invocation, Outcome,
    record::{Current, Environment, Handed, State, Told},
    tree::Tree,
};
use crate::shared::{Shared, lock};

/// How long an environment may take to ask for its first invocation, on top of the function's timeout.
const INIT: Duration = Duration::from_secs(10);

/// What an environment does from its start to its end; everything that happens to it happens here, one after the other.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) shared: Arc<Shared>,
    pub(super) environment: Arc<Environment>,
    pub(super) child: Child,
    pub(super) work: mpsc::Receiver<Invocation>,
    told: mpsc::Receiver<Told>,
    /// The connections of its runtime, which end with the environment.
    pub(super) tasks: JoinSet<()>,
    pub(super) started: Instant,
    /// How long it has taken to ask for its first invocation, until a first invocation has told.
    init: Option<Duration>,
    pub(super) is_initialized: bool,
    /// The runtime, while it waits for an invocation.
    asked: Option<oneshot::Sender<Handed>>,
    /// The runtime, while it waits for an invocation and its answer to the one before has not come yet.
    asked_early: Option<oneshot::Sender<Handed>>,
    /// The invocation that waits for the runtime.
    pub(super) waiting: Option<Invocation>,
    pub(super) running: Option<Running>,
    /// The processes that are stopped.
    stopped: Vec<i32>,
    /// When it is killed.
    limit: Option<Instant>,
}

/// The invocation that the runtime has.
#[derive(Debug)]
pub(super) struct Running {
    /// `None` once it is answered.
    invocation: Option<Invocation>,
    since: Instant,
    is_truncated: bool,
}

/// Why an environment ends.
#[derive(Debug)]
pub(super) enum End {
    Exited(Option<ExitStatus>),
    TimedOut,
    InitFailed(Bytes),
    /// Its function has changed or is gone.
    Outdated,
}

impl Life {
    pub(super) fn new(
        shared: Arc<Shared>,
        environment: Arc<Environment>,
        child: Child,
        work: mpsc::Receiver<Invocation>,
        told: mpsc::Receiver<Told>,
        tasks: JoinSet<()>,
        first: Invocation,
    ) -> Self {
        let started = Instant::now();
        let limit = Some(started + INIT + timeout(&environment));
        Self {
            shared,
            environment,
            child,
            work,
            told,
            tasks,
            started,
            init: None,
            is_initialized: false,
            asked: None,
            asked_early: None,
            waiting: Some(first),
            running: None,
            stopped: Vec::new(),
            limit,
        }
    }

    pub(super) async fn live(mut self) {
        let end = self.work().await;
        self.end(end).await;
    }

    async fn work(&mut self) -> End {
        loop {
            if self.running.is_none() && self.asked.is_some() && self.waiting.is_some() {
                // The end of a process that died while it was stopped may not have been reported yet.
                if let Ok(Some(status)) = self.child.try_wait() {
                    return End::Exited(Some(status));
                }
                self.hand_over();
            }
            let limit = self.limit.map(tokio::time::Instant::from_std);
            tokio::select! {
                // What a runtime has said before it ended counts.
                biased;
                Some(told) = self.told.recv() => {
                    if let Some(end) = self.hear(told).await {
                        return end;
                    }
                }
                Some(invocation) = self.work.recv(), if self.waiting.is_none() => {
                    self.limit = Some(Instant::now() + timeout(&self.environment));
                    self.waiting = Some(invocation);
                }
                status = self.child.wait() => return End::Exited(status.ok()),
                () = tokio::time::sleep_until(limit.unwrap_or_else(tokio::time::Instant::now)), if limit.is_some() => {
                    return End::TimedOut;
                }
            }
        }
    }

    async fn hear(&mut self, told: Told) -> Option<End> {
        match told {
            Told::Asked(reply) => return self.asked(reply).await,
            Told::Answered(outcome) => self.complete(outcome, &[]),
            Told::Truncated => {
                // If the runtime has ended in the middle of its response that is known soon.
                if let Some(running) = &mut self.running {
                    running.is_truncated = true;
                }
            }
            Told::InitFailed(body) => return Some(End::InitFailed(body)),
        }
        match self.asked_early.take() {
            Some(reply) => self.asked(reply).await,
            None => None,
        }
    }

    async fn asked(&mut self, reply: oneshot::Sender<Handed>) -> Option<End> {
        if let Some(running) = self.running.as_ref().filter(|running| running.invocation.is_some()) {
            if !running.is_truncated {
                let current = lock(&self.environment.current);
                let is_answering =
                    current.as_ref().is_some_and(|current| current.is_answered.load(Ordering::Acquire));
                // It has to answer what it has first. That the reply is dropped tells it so. But its answer may still
                // be on its way on another connection.
                self.asked_early = is_answering.then_some(reply);
                return None;
            }
            let message = "the response has ended before its end".to_owned();
            self.complete(Outcome::Failed(Failure::of_service("Runtime.TruncatedResponse", message)), &[]);
        }
        if !self.is_initialized {
            self.is_initialized = true;
            self.init = Some(self.started.elapsed());
        }
        self.running = None;
        self.asked = Some(reply);
        if self.waiting.is_some() {
            return None;
        }
        if !self.is_current() {
            return Some(End::Outdated);
        }
        self.limit = None;
        self.rest().await;
        // A request that changed the function before this environment was idle has not found it.
        let is_outdated = !self.is_current() && self.environment.claim(&self.shared.ledger);
        is_outdated.then_some(End::Outdated)
    }

    /// Stops the processes until there is more to do.
    async fn rest(&mut self) {
        if self.shared.settings.freezes {
            let environment = Arc::clone(&self.environment);
            self.stopped = spawn_blocking(move || environment.tree.stop()).await.unwrap_or_default();
            self.shared.ledger.note(|counts| counts.freezes += 1);
        }
        self.environment.used.store(self.shared.pool.tick(), Ordering::Relaxed);
        self.environment.enter(State::Idle, &self.shared.ledger);
    }

    fn hand_over(&mut self) {
        let (Some(reply), Some(invocation)) = (self.asked.take(), self.waiting.take()) else { return };
        Tree::resume(&std::mem::take(&mut self.stopped));
        let since = Instant::now();
        let timeout = timeout(&self.environment);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let handed = Handed {
            id: invocation.id.clone(),
            payload: invocation.payload.clone(),
            deadline: (now + timeout).as_millis(),
            arn: self.environment.function.arn.clone(),
        };
        let current =
            Current { id: invocation.id.clone(), mode: invocation.mode.clone(), is_answered: false.into() };
        *lock(&self.environment.current) = Some(Arc::new(current));
        self.environment.log.line(&format!("START RequestId: {} Version: $LATEST", invocation.id));
        if reply.send(handed).is_err() {
            // The runtime has gone away meanwhile. It asks again, ends, or takes too long.
            *lock(&self.environment.current) = None;
            self.waiting = Some(invocation);
            return;
        }
        self.limit = Some(since + timeout);
        self.running = Some(Running { invocation: Some(invocation), since, is_truncated: false });
    }

    /// Gives the response away; the runtime may go on until it asks for more.
    pub(super) fn complete(&mut self, outcome: Outcome, lines: &[String]) {
        let Some(running) = &mut self.running else { return };
        let Some(invocation) = running.invocation.take() else { return };
        let (log, spec) = (&self.environment.log, &self.environment.function.spec);
        let id = &invocation.id;
        lines.iter().for_each(|line| log.line(line));
        log.line(&format!("END RequestId: {id}"));
        let took = running.since.elapsed();
        let billed = (took + self.init.unwrap_or_default()).as_micros().div_ceil(1000);
        let init = self.init.take().map_or_else(String::new, |init| {
            format!("\tInit Duration: {:.2} ms", init.as_secs_f64() * 1000.0)
        });
        log.line(&format!(
            "REPORT RequestId: {id}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {} MB\tMax Memory \
             Used: {} MB{init}\t",
            took.as_secs_f64() * 1000.0,
            spec.memory,
            self.environment.tree.memory(),
        ));
        let completion = Completion { outcome, log: log.take_tail() };
        *lock(&self.environment.current) = None;
        if *self.environment.state.borrow() != State::Ended {
            self.environment.enter(State::Finishing, &self.shared.ledger);
        }
        invocation.complete(&self.shared.ledger, completion);
    }

    fn is_current(&self) -> bool {
        let function = &self.environment.function;
        lock(&self.shared.functions).get(&function.name).is_some_and(|now| Arc::ptr_eq(now, function))
    }
}

impl Running {
    pub(super) fn never_handed(invocation: Invocation, since: Instant) -> Self {
        Self { invocation: Some(invocation), since, is_truncated: false }
    }

    /// The id of the invocation, unless it is answered.
    pub(super) fn id(&self) -> Option<String> {
        self.invocation.as_ref().map(|invocation| invocation.id.clone())
    }
}

fn timeout(environment: &Environment) -> Duration {
    Duration::from_secs(environment.function.spec.timeout)
}
