//! How an environment ends, for every cause.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{
    Failure, Outcome, dispatch,
    life::{End, Life, Running},
    process::describe_end,
    record::State,
};

impl Life {
    pub(super) async fn end(mut self, end: End) {
        self.environment.enter(State::Ended, &self.shared.ledger);
        self.shared.pool.remove(&self.environment);
        let environment = Arc::clone(&self.environment);
        // All of it goes, also what its process has left behind.
        let _ = spawn_blocking(move || environment.tree.kill()).await;
        let _ = self.child.wait().await;
        self.shared.ledger.note(|counts| {
            counts.environments -= 1;
            counts.timeouts += u64::from(matches!(end, End::TimedOut));
        });
        self.tell(&end);
        self.tasks.shutdown().await;
        self.work.close();
        while let Some(invocation) = self.work.recv().await {
            dispatch(&self.shared, &self.environment.function, invocation);
        }
    }

    /// Ends what it was to do.
    fn tell(&mut self, end: &End) {
        if let Some(waiting) = self.waiting.take() {
            if self.is_initialized && !matches!(end, End::TimedOut) {
                // It has died while it was stopped; another environment takes the invocation that it was not handed.
                return dispatch(&self.shared, &self.environment.function, waiting);
            }
            self.environment.log.line(&format!("START RequestId: {} Version: $LATEST", waiting.id));
            self.running = Some(Running::never_handed(waiting, self.started));
        }
        let Some(id) = self.running.as_ref().and_then(Running::id) else { return };
        let (kind, message) = match end {
            End::TimedOut => {
                let timeout = self.environment.function.spec.timeout;
                ("Sandbox.Timedout", format!("Task timed out after {timeout}.00 seconds"))
            }
            End::Exited(Some(status)) => ("Runtime.ExitError", describe_end(*status)),
            End::Exited(None) | End::Outdated => {
                ("Runtime.ExitError", "Runtime exited without providing a reason".to_owned())
            }
            End::InitFailed(body) => {
                return self.complete(Outcome::Failed(Failure::of_function(body.clone())), &[]);
            }
        };
        let message = format!("RequestId: {id} Error: {message}");
        let lines = [message.clone(), kind.to_owned()];
        self.complete(Outcome::Failed(Failure::of_service(kind, message)), &lines);
    }
}
