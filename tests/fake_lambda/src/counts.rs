//! [`Counts`]: what has happened.

use tokio::sync::watch;

/// What has happened, and what is the case now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Functions that were created.
    pub creates: u64,
    /// Functions whose code or configuration was changed.
    pub updates: u64,
    /// Functions that were deleted.
    pub deletes: u64,
    /// Requests that only look: of a function, of its configuration, of the account.
    pub reads: u64,
    /// Requests for the list of functions.
    pub lists: u64,
    /// Requests to invoke and to wait for the response, whether or not they were let in.
    pub invokes: u64,
    /// Requests to invoke whose response is streamed.
    pub streaming_invokes: u64,
    /// Asynchronous requests to invoke: their caller waits for no response.
    pub event_invokes: u64,
    /// Requests that ask whether they could invoke.
    pub dry_runs: u64,
    /// Requests that were refused since too much was running.
    pub throttled: u64,
    /// Requests that were refused for any other reason.
    pub refused: u64,
    /// Invocations that were handed to an environment which had been there before.
    pub warm_starts: u64,
    /// Environments that were started.
    pub environments_started: u64,
    /// Environments that are there.
    pub environments: u64,
    /// The most environments that were there at once.
    pub most_environments: u64,
    /// Environments that wait for an invocation, stopped if they are ever stopped.
    pub idle: u64,
    /// How often an environment was stopped.
    pub freezes: u64,
    /// Invocations that are running.
    pub running: u64,
    /// The most invocations that were running at once.
    pub most_running: u64,
    /// Invocations whose function failed, for any reason.
    pub function_errors: u64,
    /// Invocations that were ended since they took too long.
    pub timeouts: u64,
}

/// The counts where everybody writes them, and can be woken by them.
#[derive(Debug, Default)]
pub(crate) struct Ledger(watch::Sender<Counts>);

impl Ledger {
    /// Writes something down.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Counts)) {
        self.0.send_modify(|counts| {
            write(counts);
            counts.most_environments = counts.most_environments.max(counts.environments);
            counts.most_running = counts.most_running.max(counts.running);
        });
    }

    pub(crate) fn read(&self) -> Counts {
        self.0.borrow().clone()
    }

    /// Ends when the counts are as wanted.
    pub(crate) async fn until(&self, holds: impl FnMut(&Counts) -> bool) -> Counts {
        let mut watching = self.0.subscribe();
        // The sender is borrowed for as long as this waits.
        watching.wait_for(holds).await.map(|counts| counts.clone()).unwrap_or_default()
    }
}
