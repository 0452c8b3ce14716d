//! [`Body`]: the body of an answer on its way through, which may be cut short.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::{Counts, messages::Passed};

/// The error that the body of an answer ends with when it is cut short.
#[derive(Debug)]
pub(crate) struct CutShort;

impl std::fmt::Display for CutShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer was cut short")
    }
}

impl std::error::Error for CutShort {}

/// The server's body, or none.
pub(crate) struct Body {
    pub(crate) inner: Option<Passed>,
    /// How many bytes are passed on before the body is cut.
    pub(crate) room: usize,
    pub(crate) counts: Arc<Mutex<Counts>>,
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let room = self.room;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        if room == 0 {
            return Poll::Ready(Some(Err(Box::new(CutShort))));
        }
        let polled = std::task::ready!(Pin::new(inner).poll_frame(context));
        Poll::Ready(polled.map(|frame| {
            let frame = frame?;
            Ok(match frame.into_data() {
                Ok(mut data) => {
                    data.truncate(data.len().min(self.room));
                    self.room -= data.remaining();
                    let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
                    counts.bytes_down += data.len() as u64;
                    Frame::data(data)
                }
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
