//! The loop: asks Lambda for requests, and answers them.

use std::{sync::Arc, time::Duration};

use lambda_runtime::{Context, Error as BoxError, FunctionResponse, LambdaEvent, Runtime, StreamResponse};
use lithops_core::protocol::Envelope;

use crate::{
    exit::complain,
    program_cache::ReadHints,
    transport::request::{ActivationRequest, Pieces, Sandbox, Terms, WarmPool, begin},
};

/// The text by which a client that is to deploy a program sees that it can serve Lambda, and is of this version.
#[used]
static TRANSPORT: &str = concat!("lithops-worker/", env!("CARGO_PKG_VERSION"), "/lambda");
/// The variable with the address of Lambda's own API.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// The variable with the handler that the function was deployed with, and its value for a worker.
const HANDLER: (&str, &str) = ("_HANDLER", "lithops");
/// The variable with the memory of the function, in MiB.
const MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
/// The variable with the seconds between two looks whether the client wants the running calls no more, and how many they
/// are without it: ending them is to take no more than 15 s.
const LOOK: &str = "LITHOPS_LOOK";
const DEFAULT_LOOK: Duration = Duration::from_secs(10);
/// The most bytes of a streamed answer: Lambda ends a response at 200 MB, and a part of that is left as a margin.
const STREAM_LIMIT: u64 = 150 << 20;
/// What to do about a program that the function cannot read.
const HINTS: ReadHints = ReadHints {
    denied: "the function's role must be allowed `s3:GetObject` and `s3:ListBucket`: `lithops doctor` prints the policy",
    otherwise: "is the bucket that of the function's region, and may its role read it?",
};

/// Whether this process was started by Lambda as a worker.
#[must_use]
pub fn is_in_lambda() -> bool {
    let has_handler = std::env::var_os(HANDLER.0).is_some_and(|handler| handler == HANDLER.1);
    has_handler && std::env::var_os(RUNTIME_API).is_some()
}

/// Serves Lambda until the platform ends this process; returns the exit code of the process.
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
    let (warm, look) = (Arc::new(WarmPool::new(sandbox())), look());
    let handler = lambda_runtime::service_fn(move |event: LambdaEvent<Envelope>| {
        let warm = Arc::clone(&warm);
        async move { Ok::<_, BoxError>(answer(warm, event.payload, &event.context, Some(look)).await) }
    });
    let runtime = Runtime::new(handler);
    forget_lambda();
    runtime.run().await
}

/// How often a call that takes long is looked for in the storage as one that is not wanted any more: Lambda ends no
/// invocation before its time limit.
fn look() -> Duration {
    let seconds = std::env::var(LOOK).ok().and_then(|text| text.parse().ok());
    let look = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    look.filter(|look| !look.is_zero()).unwrap_or(DEFAULT_LOOK)
}

/// What Lambda says of this sandbox.
fn sandbox() -> Sandbox {
    let megabytes = std::env::var(MEMORY).ok().and_then(|memory| memory.parse::<u64>().ok());
    Sandbox {
        memory: megabytes.filter(|megabytes| *megabytes > 0).map(|megabytes| megabytes << 20),
        hints: HINTS,
        stream_limit: STREAM_LIMIT,
        secrets: None,
    }
}

/// The answer as a whole, or in pieces as they come: the client chooses.
async fn answer(
    warm: Arc<WarmPool>,
    request: Envelope,
    context: &Context,
    look: Option<Duration>,
) -> FunctionResponse<Envelope, Pieces> {
    let stream = request.stream;
    let terms = Terms {
        stream,
        deadline: Some(context.deadline()),
        needs_reader: false,
        leaving: None,
        look,
        turn: (),
    };
    let pieces = begin(warm, async move { ActivationRequest::read(&request.open()?).await }, terms);
    if stream {
        return FunctionResponse::StreamingResponse(StreamResponse::from(pieces));
    }
    FunctionResponse::BufferedResponse(Envelope::seal(&pieces.collect().await, false))
}

/// Removes the variable by which a process knows that it is in Lambda: programs that calls start must not take
/// themselves for workers.
#[expect(unsafe_code, reason = "there is no safe way to remove a variable")]
fn forget_lambda() {
    // SAFETY: the only other thread of this process waits for this one.
    unsafe { std::env::remove_var(RUNTIME_API) };
}
