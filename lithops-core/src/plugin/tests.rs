//! A backend of this program, asked as that of a plugin: what it is asked, and what it answers, is the same.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::{Exports, Header, Plugin};
use crate::{
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Package, Runtime, RuntimeId, RuntimeSpec, Severity,
        WaitingWorkers,
    },
    config::Config,
    error::{Error, ErrorKind, Result},
    protocol::Program,
};

/// What the backend was asked.
static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

static DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: "listener",
    summary: "notes what it is asked",
    package: "none",
    version: "0",
    keys: &[],
    capabilities: |_| Ok(Capabilities::local(1)),
    connect: |_| {
        Box::pin(async {
            let backend: Arc<dyn ComputeBackend> = Arc::new(Listener(Capabilities::local(1)));
            Ok(backend)
        })
    },
};

struct Exported;

impl Exports for Exported {
    fn descriptor() -> &'static BackendDescriptor {
        &DESCRIPTOR
    }
}

#[derive(Debug)]
struct Listener(Capabilities);

fn asked(what: impl Into<String>) {
    ASKED.lock().expect("no panic").push(what.into());
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "it only listens"))
}

fn waiting() -> Vec<WaitingWorkers> {
    let waits = |count, why: &str, is_hopeless| WaitingWorkers { count, why: why.into(), is_hopeless };
    vec![waits(3, "no node has room", false), waits(1, "there is no such image", true)]
}

fn found() -> Check {
    Check { finding: "a worker has 2 CPUs".into(), severity: Severity::Warning, remedy: Some("wait".into()) }
}

#[async_trait]
impl ComputeBackend for Listener {
    fn info(&self) -> BackendInfo {
        BackendInfo { scheme: "listener", region: None, location: "here".into() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        unsupported()
    }

    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        unsupported()
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        unsupported()
    }

    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        unsupported()
    }

    async fn invoke(&self, _: InvokeRequest) -> Result<Invocation> {
        unsupported()
    }

    fn awaited(&self) -> Vec<WaitingWorkers> {
        waiting()
    }

    async fn withdraw(&self) -> Result<()> {
        asked("withdraw");
        Err(Error::new(ErrorKind::PermissionDenied, "the cluster forbids it"))
    }

    async fn cancel(&self, id: &InvocationId) -> Result<()> {
        asked(format!("cancel {}", id.0));
        Ok(())
    }

    async fn discard(&self, id: &InvocationId) -> Result<()> {
        asked(format!("discard {}", id.0));
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }

    async fn check_live(&self) -> Vec<Check> {
        vec![found()]
    }

    async fn close(&self, _: CloseMode) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_only_slow_or_distrusted_workers_need_crosses_too() {
    let header = Header::of::<Exported>("listener", "0");
    let plugin: &'static Plugin = Box::leak(Box::new(Plugin {
        path: PathBuf::from("this program"),
        descriptor: &DESCRIPTOR,
        vtable: header.vtable,
    }));
    let program = Program { path: "/".into(), arguments: Vec::new() };
    let options = BackendOptions::new(Config::default(), program, 1, 1);
    let backend = plugin.connect(options).await.expect("it opens");

    assert_eq!(backend.awaited(), waiting());
    let error = backend.withdraw().await.expect_err("its error comes back");
    assert_eq!((error.kind(), error.message()), (ErrorKind::PermissionDenied, "the cluster forbids it"));
    backend.discard(&InvocationId("7".into())).await.expect("it is noted");
    assert_eq!(*ASKED.lock().expect("no panic"), ["withdraw", "discard 7"]);
    assert_eq!(backend.check_live().await, [found()]);
}
