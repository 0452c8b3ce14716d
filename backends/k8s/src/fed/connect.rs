//! How a client connects to a pod: a port-forward, through which the worker makes sure whose client it is.

use std::{os::unix::net::UnixStream, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, client::UpgradeConnectionError};
use lithops_core::{
    error::{Error, ErrorKind, Result, Retry},
    protocol::{Launch, RelayEnd, SignKey, answer_challenge, relay},
};
use lithops_kubernetes::{Cluster, failure};
use tokio::time::{Instant, sleep, timeout};

/// Where a worker listens in its pod.
const PORT: u16 = 7070;
/// How long a try may take.
const TRY: Duration = Duration::from_secs(15);
/// How long a pod that runs may take until it can be connected to. Its program starts within that time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The end of a connection to a pod, for all that wait for it.
pub(super) type Ended = Shared<BoxFuture<'static, RelayEnd>>;

/// A connection to the worker in a pod.
pub(super) struct Connection {
    /// The client's end of the channel to the worker.
    pub(super) channel: UnixStream,
    /// When and how the connection ends.
    pub(super) ended: Ended,
    /// Cuts it.
    pub(super) cut: tokio::task::AbortHandle,
}

/// Connects to the worker in the pod `name`, whose uid is `worker`. Must be called inside a runtime that stays.
///
/// # Errors
/// When the cluster does not allow it, or the worker cannot be reached for long.
pub(super) async fn connect(
    cluster: &Cluster,
    name: &str,
    worker: &str,
    launch: &Launch,
    key: &SignKey,
) -> Result<Connection> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let began = Instant::now();
    loop {
        let error = match timeout(TRY, once(&pods, name, worker, launch, key)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => Error::new(ErrorKind::Timeout, format!("the pod `{name}` does not answer for {TRY:?}"))
                .with_retry(Retry::Later),
        };
        if error.retry() != Retry::Later || began.elapsed() > PATIENCE {
            return Err(error);
        }
        tracing::debug!(pod = name, %error, "cannot connect yet");
        sleep(PAUSE).await;
    }
}

async fn once(
    pods: &Api<Pod>,
    name: &str,
    worker: &str,
    launch: &Launch,
    key: &SignKey,
) -> Result<Connection> {
    let forwarded = pods.portforward(name, &[PORT]).await;
    let mut forwarded = forwarded.map_err(|error| of_forward(&error, name))?;
    let stream = forwarded.take_stream(PORT);
    let mut stream =
        stream.ok_or_else(|| Error::new(ErrorKind::Unexpected, "a port-forward without its port"))?;
    answer_challenge(&mut stream, &launch.fleet, worker, key).await.map_err(|error| {
        // The program may not listen yet.
        Error::new(ErrorKind::WorkerLost, format!("the pod `{name}` cannot be spoken with: {error}"))
            .with_retry(Retry::Later)
    })?;
    let (channel, relayed) = UnixStream::pair()?;
    let relay = tokio::spawn(relay(stream, relayed));
    let cut = relay.abort_handle();
    let ended = async move {
        match relay.await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => RelayEnd::Cut(error.to_string()),
            Err(_) => RelayEnd::Cut("this client has cut it".to_owned()),
        }
    };
    Ok(Connection { channel, ended: ended.boxed().shared(), cut })
}

fn of_forward(error: &kube::Error, name: &str) -> Error {
    let what = format!("connect to the pod `{name}`");
    let refused = match error {
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => status.as_u16(),
        _ => return failure::of(error, &what),
    };
    if refused == 403 {
        let problem = format!("cannot {what}: the cluster forbids it");
        return Error::new(ErrorKind::PermissionDenied, problem).with_hint(
            "with `dispatch: fed` the Role needs `create` and `get` of `pods/portforward`: `lithops doctor` prints it; or write `dispatch: pull`",
        );
    }
    let problem = format!("cannot {what}: the API server answers {refused}");
    Error::new(ErrorKind::Io, problem).with_retry(Retry::Later)
}
