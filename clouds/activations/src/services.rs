//! [`Services`]: the services that a backend has activations in, and the requests that it waits for.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use lithops_core::{
    compute::{Answer, CloseMode, InFlight, Invocation, InvocationId},
    error::Result,
    id::JobId,
};
use tokio::sync::{Mutex, OnceCell};

use crate::{Activation, KeptUse, ServiceClient};

/// The client of a service, once that is ready.
type Ready = Arc<OnceCell<Arc<ServiceClient>>>;

/// The services of one backend, and the requests that it waits for.
#[derive(Debug)]
pub struct Services {
    scheme: &'static str,
    /// The clients of services that are ready, by the memory of their workers.
    ready: Arc<Mutex<HashMap<u64, Ready>>>,
    in_flight: InFlight,
    started: AtomicU64,
    /// When it was noted that services with kept workers are used.
    pub kept: KeptUse,
}

impl Services {
    /// No service yet, and at most `max_workers` requests at once.
    #[must_use]
    pub fn new(scheme: &'static str, max_workers: usize) -> Self {
        Self {
            scheme,
            ready: Arc::default(),
            in_flight: InFlight::new(max_workers),
            started: AtomicU64::new(0),
            kept: KeptUse::default(),
        }
    }

    /// The client of the service whose workers have this much memory. `deploy` makes the service exist and be ready; it is
    /// called by one activation for all that ask meanwhile, and again after it has failed.
    ///
    /// # Errors
    /// Those of `deploy`.
    pub async fn client<D>(&self, memory: u64, deploy: impl FnOnce() -> D) -> Result<Arc<ServiceClient>>
    where
        D: Future<Output = Result<ServiceClient>>,
    {
        let cell = Arc::clone(self.ready.lock().await.entry(memory).or_default());
        cell.get_or_try_init(|| async { deploy().await.map(Arc::new) }).await.cloned()
    }

    /// Forgets the clients: the next activation deploys again what it needs.
    pub async fn forget(&self) {
        self.ready.lock().await.clear();
    }

    /// Begins an activation of a job in a service. When the service turns out to be gone, its client is forgotten.
    ///
    /// # Errors
    /// `RateLimited` when as many requests are in flight as there may be workers.
    pub fn begin(
        &self,
        client: Arc<ServiceClient>,
        job: JobId,
        activation: Activation,
    ) -> Result<Invocation> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let id = InvocationId(format!("{}/{job}/{number}", self.scheme));
        let ready = Arc::clone(&self.ready);
        self.in_flight.spawn(id, activation.id, |events| async move {
            let pending = client.health().begin();
            let answer = client.run(&activation, &events).await;
            if let Answer::Gone(_) = answer {
                let is_other = |known: &Ready| known.get().is_none_or(|known| !Arc::ptr_eq(known, &client));
                ready.lock().await.retain(|_, known| is_other(known));
            }
            let (reason, pause) = pending.judge(answer, activation.once);
            tokio::time::sleep(pause).await;
            reason
        })
    }

    /// Ends an activation: its stream is reset, by which the worker knows that its calls are to stop.
    pub fn cancel(&self, id: &InvocationId) {
        self.in_flight.cancel(id);
    }

    /// Ends all activations, if that is wanted now. Without requests the workers go by themselves.
    pub fn close(&self, mode: CloseMode) {
        if mode == CloseMode::Now {
            self.in_flight.abort_all();
        }
    }
}
