//! [`Executor`]: runs functions on a backend, with `call_async`, `map` and `map_reduce`.

use std::{fmt, marker::PhantomData, panic::Location, sync::Arc};

use super::{
    Async, Call, Map, MapReduce, Mode,
    map_reduce::{Gathered, Gives},
    repeat,
};
use crate::{
    compute::CloseMode,
    error::Result,
    executor::{
        core::Core,
        job::IntoInputs,
        results::{Events, FuturesList},
    },
    fleet::ClientFleets,
    function::{Captures, Function, entry_of},
    id::JobId,
    runtime,
    storage::StorageClient,
};

/// The async form of [`Executor`].
pub type FunctionExecutor = Executor<Async>;

/// Runs `#[lithops::function]`s on a backend: `call_async`, `map`, `map_reduce`.
///
/// Cheap to clone. The executor's workers end when the last clone and the last job are dropped, or with the
/// program.
pub struct Executor<M: Mode> {
    core: Arc<Core>,
    mode: PhantomData<M>,
}

impl<M: Mode> Clone for Executor<M> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), mode: PhantomData }
    }
}

impl<M: Mode> fmt::Debug for Executor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("core", &self.core).finish()
    }
}

impl<M: Mode> Executor<M> {
    pub(crate) fn new(core: Core) -> Self {
        Self { core: Arc::new(core), mode: PhantomData }
    }

    /// Calls the function once. Several arguments are given as a tuple.
    ///
    /// A call may be run more than once when a worker is lost, so that its side effects may happen twice,
    /// unless the function says `at_most_once`.
    #[track_caller]
    pub fn call_async<F: Function<K>, K>(
        &self,
        function: F,
        input: F::Item,
    ) -> Call<F::Item, F::Ret, F::Shared, M> {
        let (_, ()) = (function, Captures::<F>::NOTHING);
        Call::new(Arc::clone(&self.core), entry_of::<F, K>(Location::caller()), input)
    }

    /// Calls the function on every input.
    ///
    /// The inputs are consumed lazily, by another thread. A call is run at least once and committed exactly
    /// once: it may be run more than once when a worker is lost, so that its side effects may happen twice,
    /// unless the function says `at_most_once`.
    #[track_caller]
    pub fn map<F: Function<K>, K, I: IntoInputs<F::Item>>(
        &self,
        function: F,
        inputs: I,
    ) -> Map<F::Item, F::Ret, F::Shared, M> {
        let (_, ()) = (function, Captures::<F>::NOTHING);
        Map::new(Arc::clone(&self.core), entry_of::<F, K>(Location::caller()), inputs.into_inputs())
    }

    /// Calls the function on every input, and then the reducer once on all the values, in the order of the
    /// inputs.
    #[track_caller]
    pub fn map_reduce<F, K, I, G, L, V>(
        &self,
        function: F,
        inputs: I,
        reducer: G,
    ) -> MapReduce<F::Item, F::Shared, G::Ret, G::Shared, M>
    where
        F: Function<K>,
        I: IntoInputs<F::Item>,
        G: Function<L>,
        G::Item: Gathered<V>,
        F::Ret: Gives<V>,
    {
        let (_, ()) = (function, Captures::<F>::NOTHING);
        let (_, ()) = (reducer, Captures::<G>::NOTHING);
        MapReduce::new(
            Arc::clone(&self.core),
            entry_of::<F, K>(Location::caller()),
            inputs.into_inputs(),
            entry_of::<G, L>(Location::caller()),
        )
    }

    /// The storage of this executor.
    #[must_use]
    pub fn storage(&self) -> StorageClient {
        self.core.storage.clone()
    }

    /// Attaches to a durable job that this or another program has started. The executor drives the job if no
    /// other client holds its lease, else only reads it.
    ///
    /// `R` is the return type of the function. The values of the job's environment variables are not stored:
    /// they are taken from the environment of this program.
    ///
    /// # Errors
    /// `NotDurable` when nothing is stored of the job.
    pub fn attach<R: Send + 'static>(&self, job: JobId) -> M::Out<Result<FuturesList<R, M>>> {
        let core = Arc::clone(&self.core);
        M::run(async move {
            let job = Arc::clone(&core).attach(job).await?;
            repeat::stored(&core, &job, None);
            Ok(FuturesList::new(job))
        })
    }

    /// The events of this executor's jobs from now on: a `Stream`, or an `Iterator` in the blocking form.
    #[must_use]
    pub fn events(&self) -> Events<M> {
        Events::new(self.core.observers.subscribe())
    }

    /// Ends the workers that the backend keeps; calls that run may finish first. Then waits, for 10 s at
    /// most, until the stored data of finished jobs is removed.
    ///
    /// # Errors
    /// When the backend cannot be reached.
    pub fn close(&self) -> M::Out<Result<()>> {
        let core = Arc::clone(&self.core);
        M::run(async move {
            let mut closed = core.backend.close(CloseMode::Drain).await;
            for fleet in core.client_fleets.iter().flat_map(ClientFleets::all) {
                closed = closed.and(fleet.close().await);
            }
            // The timer needs the driver's runtime; spawned there, any runtime, or none, can wait for it.
            let pending = Arc::clone(&core.pending);
            let waited = runtime::start()?.spawn(async move { pending.ended().await }).await;
            drop(waited);
            closed
        })
    }
}
