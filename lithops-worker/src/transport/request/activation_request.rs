//! [`ActivationRequest`]: the content of a request, read from its frames.

use std::sync::Arc;

use lithops_core::{
    artifact::ProgramRef,
    error::{Error, ErrorKind, Result},
    protocol::{Calls, Frame, FrameKind, FrameReader, Hello, JobSpec, StoredCalls},
    tracker::Ranges,
};

/// The content of a request.
#[derive(Debug)]
pub(in crate::transport) struct ActivationRequest {
    pub(super) running: ProgramRef,
    pub(super) spec: Arc<JobSpec>,
    pub(super) calls: Vec<Calls>,
    pub(super) stored: Vec<StoredCalls>,
}

impl ActivationRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// When the frames are not those of a request. It is `Unsupported` when the client speaks another version of the
    /// protocol.
    pub(in crate::transport) async fn read(mut bytes: &[u8]) -> Result<Self> {
        let mut frames = FrameReader::new(&mut bytes);
        let hello = frames.next().await?.ok_or_else(|| unexpected("nothing"))?;
        Hello::read(&hello)?;
        let running = one(frames.next().await?, FrameKind::Running)?.decode()?;
        let spec = one(frames.next().await?, FrameKind::Job)?.decode()?;
        let mut request = Self { running, spec: Arc::new(spec), calls: Vec::new(), stored: Vec::new() };
        while let Some(frame) = frames.next().await? {
            match frame.kind {
                FrameKind::Calls => request.calls.push(Calls::read(&frame.body)?),
                FrameKind::StoredCalls => request.stored.push(StoredCalls::read(&frame)?),
                kind => return Err(unexpected(&format!("a {kind:?} frame"))),
            }
        }
        Ok(request)
    }

    /// The calls whose outcomes the answer must have.
    pub(super) fn open(&self) -> Ranges {
        let mut open = Ranges::default();
        let stored = self.stored.iter().map(|stored| stored.run);
        for run in self.calls.iter().map(|calls| calls.run).chain(stored) {
            open.insert(run.first, run.end());
        }
        open
    }
}

fn one(frame: Option<Frame>, kind: FrameKind) -> Result<Frame> {
    match frame {
        Some(frame) if frame.kind == kind => Ok(frame),
        Some(frame) => Err(unexpected(&format!("a {:?} frame in the place of {kind:?}", frame.kind))),
        None => Err(unexpected(&format!("no {kind:?} frame"))),
    }
}

fn unexpected(what: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("the worker was sent {what}"))
        .with_hint("client and worker must be of one version: deploy the runtime again")
}
