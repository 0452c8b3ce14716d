//! [`Pool`]: all environments, and which invocation goes to which.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use uuid::Uuid;

use super::{
    Completion, Failure, Invocation, Outcome,
    life::Life,
    log::Log,
    process,
    record::{Environment, State},
    runtime_api,
    tree::Tree,
};
use crate::{
    counts::Ledger,
    function::Function,
    shared::{Shared, lock},
};

/// How long an invocation waits for an environment that has given its response and has not asked for more yet. Without
/// this, whether a caller who invokes again at once is served by the same environment would be a matter of luck.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait for a program that something else still has open for writing.
const BUSY: Duration = Duration::from_millis(5);

/// All environments.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    open: Mutex<Open>,
    clock: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    environments: Vec<Arc<Environment>>,
    is_closed: bool,
}

enum Found {
    /// An environment that is claimed.
    Idle(Arc<Environment>),
    /// An environment that is reserved.
    Finishing(Arc<Environment>),
    Nothing,
}

/// Runs an invocation, in an environment that is there or in a new one.
pub(crate) fn dispatch(shared: &Arc<Shared>, function: &Arc<Function>, invocation: Invocation) {
    let (shared, function) = (Arc::clone(shared), Arc::clone(function));
    tokio::spawn(async move { place(&shared, &function, invocation).await });
}

impl Pool {
    pub(crate) fn all(&self) -> Vec<Arc<Environment>> {
        lock(&self.open).environments.iter().map(Arc::clone).collect()
    }

    /// Kills all environments of a function.
    pub(crate) fn kill_function(&self, name: &str) {
        for environment in self.all().iter().filter(|environment| environment.function.name == name) {
            environment.tree.kill();
        }
    }

    /// Kills those environments of a function that do nothing. The others end when they have nothing to do.
    pub(crate) fn retire(&self, function: &Arc<Function>, ledger: &Ledger) {
        for environment in self.all() {
            // An environment that is claimed is out of reach of other invocations.
            if Arc::ptr_eq(&environment.function, function) && environment.claim(ledger) {
                environment.tree.kill();
            }
        }
    }

    /// Kills everything. There will be no further environments.
    pub(crate) fn close(&self) {
        let environments = {
            let mut open = lock(&self.open);
            open.is_closed = true;
            std::mem::take(&mut open.environments)
        };
        for environment in environments {
            environment.tree.kill();
        }
    }

    pub(super) fn remove(&self, environment: &Arc<Environment>) {
        lock(&self.open).environments.retain(|other| !Arc::ptr_eq(other, environment));
    }

    /// The next tick of the pool's clock.
    pub(super) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// The environment of a function that was used last, of those that can be had.
    fn find(&self, function: &Arc<Function>, is_patient: bool, ledger: &Ledger) -> Found {
        let open = lock(&self.open);
        let mut own: Vec<_> =
            open.environments.iter().filter(|other| Arc::ptr_eq(&other.function, function)).collect();
        own.sort_by_key(|environment| std::cmp::Reverse(environment.used.load(Ordering::Relaxed)));
        let is_free = |environment: &Environment| !environment.is_reserved.load(Ordering::Acquire);
        if let Some(idle) = own.iter().find(|other| is_free(other) && other.claim(ledger)) {
            return Found::Idle(Arc::clone(idle));
        }
        match own.iter().find(|other| is_patient && other.reserve()) {
            Some(finishing) => Found::Finishing(Arc::clone(finishing)),
            None => Found::Nothing,
        }
    }
}

async fn place(shared: &Arc<Shared>, function: &Arc<Function>, mut invocation: Invocation) {
    let mut is_patient = true;
    loop {
        let claimed = match shared.pool.find(function, is_patient, &shared.ledger) {
            Found::Idle(environment) => Some(environment),
            Found::Finishing(environment) => {
                is_patient = false;
                let is_claimed = environment.claim_reserved(PATIENCE, &shared.ledger).await;
                is_claimed.then_some(environment)
            }
            Found::Nothing => match start(shared, function, invocation) {
                Ok(()) => return,
                Err((rejected, error)) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    // Another thread has forked while the program was written; its child has the file open until it
                    // is a program itself.
                    tokio::time::sleep(BUSY).await;
                    invocation = rejected;
                    continue;
                }
                Err((rejected, error)) => return reject(rejected, &error, &shared.ledger),
            },
        };
        let Some(environment) = claimed else { continue };
        match environment.work.send(invocation).await {
            Ok(()) => return shared.ledger.note(|counts| counts.warm_starts += 1),
            // It has ended in this very moment.
            Err(rejected) => invocation = rejected.0,
        }
    }
}

/// Starts an environment, whose first invocation this is.
fn start(
    shared: &Arc<Shared>,
    function: &Arc<Function>,
    invocation: Invocation,
) -> Result<(), (Invocation, io::Error)> {
    let prepared = match Prepared::new(shared, function) {
        Ok(prepared) => prepared,
        Err(error) => return Err((invocation, error)),
    };
    let mut open = lock(&shared.pool.open);
    if open.is_closed {
        return Err((invocation, io::Error::other("the fake has ended")));
    }
    // Under the lock, so that an environment is either not there or known to whoever kills all.
    match prepared.launch(shared, function, invocation) {
        Ok((environment, life)) => {
            open.environments.push(environment);
            shared.ledger.note(|counts| {
                counts.environments_started += 1;
                counts.environments += 1;
            });
            tokio::spawn(life.live());
            Ok(())
        }
        Err(rejected) => Err(rejected),
    }
}

/// What an environment needs before there is a process.
struct Prepared {
    listener: TcpListener,
    address: String,
    stream: String,
    log: Log,
    output: OwnedFd,
}

impl Prepared {
    fn new(shared: &Shared, function: &Function) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let stream = Uuid::new_v4().simple().to_string();
        let path = shared.folder.join("logs").join(&function.name).join(format!("{stream}.log"));
        let (log, output) = Log::new(&path)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, address, stream, log, output })
    }

    fn launch(
        self,
        shared: &Arc<Shared>,
        function: &Arc<Function>,
        invocation: Invocation,
    ) -> Result<(Arc<Environment>, Life), (Invocation, io::Error)> {
        let settings = &shared.settings;
        let output = fs::read_link(format!("/proc/self/fd/{}", self.output.as_raw_fd()));
        let child = process::spawn(function, &settings.region, &self.address, &self.stream, self.output);
        let variable = format!("AWS_LAMBDA_RUNTIME_API={}", self.address);
        let started = child.and_then(|child| {
            let pid = child.id().ok_or_else(|| io::Error::other("the process was waited for already"))?;
            Ok((child, pid, Tree::new(pid, &variable, output?)?))
        });
        let (child, pid, tree) = match started {
            Ok(started) => started,
            Err(error) => return Err((invocation, error)),
        };
        let (work, works) = mpsc::channel(1);
        let (told, tells) = mpsc::channel(8);
        let environment = Arc::new(Environment {
            function: Arc::clone(function),
            pid,
            tree,
            log: self.log,
            state: watch::Sender::new(State::Busy),
            is_reserved: false.into(),
            used: shared.pool.tick().into(),
            work,
            told,
            current: Mutex::default(),
            response_limit: settings.payload_limit,
            requires_json: settings.requires_json_response,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(runtime_api::serve(self.listener, Arc::clone(&environment)));
        let followed = Arc::clone(&environment);
        tasks.spawn(async move { followed.log.follow().await });
        let life =
            Life::new(Arc::clone(shared), Arc::clone(&environment), child, works, tells, tasks, invocation);
        Ok((environment, life))
    }
}

fn reject(invocation: Invocation, error: &io::Error, ledger: &Ledger) {
    let message = format!("RequestId: {} Error: {}", invocation.id, process::describe_start(error));
    let outcome = Outcome::Failed(Failure::of_service("Runtime.InvalidEntrypoint", message));
    invocation.complete(ledger, Completion { outcome, log: Vec::new() });
}
