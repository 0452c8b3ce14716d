//! The loop: asks Lambda for work, and answers.

use std::sync::Arc;

use lambda_runtime::{Context, Error as BoxError, FunctionResponse, LambdaEvent, Runtime, StreamResponse};
use lithops_core::protocol::Envelope;

use super::{
    activation::{self, Pieces},
    environment::Environment,
};
use crate::entry::complain;

/// What whoever deploys a program looks for in it: it can serve Lambda, and is of this version.
#[used]
static DOOR: &str = concat!("lithops-worker/", env!("CARGO_PKG_VERSION"), "/lambda");
/// Where the platform says how it is reached.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// What the function was deployed to run.
const HANDLER: (&str, &str) = ("_HANDLER", "lithops");

/// Whether this process was started by Lambda as a worker.
#[must_use]
pub fn is_in_lambda() -> bool {
    let has_handler = std::env::var_os(HANDLER.0).is_some_and(|handler| handler == HANDLER.1);
    has_handler && std::env::var_os(RUNTIME_API).is_some()
}

/// Serves Lambda until it ends this process; returns the process's exit code.
#[must_use]
pub fn lambda() -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(BoxError::from).and_then(|runtime| runtime.block_on(serve()));
    match served {
        Ok(()) => 0,
        Err(error) => {
            complain(&format!("cannot serve Lambda: {error}"));
            1
        }
    }
}

async fn serve() -> Result<(), BoxError> {
    let environment = Arc::new(Environment::of_this_process());
    let handler = lambda_runtime::service_fn(move |event: LambdaEvent<Envelope>| {
        let environment = Arc::clone(&environment);
        async move { Ok::<_, BoxError>(answer(environment, event.payload, &event.context).await) }
    });
    let runtime = Runtime::new(handler);
    forget_lambda();
    runtime.run().await
}

/// All at once, or in pieces as they come.
async fn answer(
    environment: Arc<Environment>,
    request: Envelope,
    context: &Context,
) -> FunctionResponse<Envelope, Pieces> {
    let mut pieces = activation::begin(environment, &request, context.deadline());
    if request.stream {
        return FunctionResponse::StreamingResponse(StreamResponse::from(pieces));
    }
    let mut frames = Vec::new();
    while let Some(piece) = pieces.next().await {
        frames.extend_from_slice(&piece);
    }
    FunctionResponse::BufferedResponse(Envelope::seal(&frames, false))
}

/// What calls start must not take itself for a worker of Lambda.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget_lambda() {
    // SAFETY: the only other thread of this process waits for this one.
    unsafe { std::env::remove_var(RUNTIME_API) };
}
