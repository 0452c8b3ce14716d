//! [`Pieces`]: an answer, piece by piece.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use lithops_core::{
    error::Result,
    protocol::{FrameKind, Hello, Role, frame_header},
};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep},
};

/// How many pieces of an answer may wait to be sent, before the activation waits itself: pieces are small, and the
/// platform takes them faster than calls end.
pub(super) const PIECES: usize = 64;

/// An answer, in pieces of whole frames. The last piece says how the activation ended.
#[derive(Debug)]
pub(in crate::transport) struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    /// The first piece, when the answer begins before the activation has anything to say.
    greeting: Option<Bytes>,
    heartbeat: Option<Heartbeat>,
}

/// When the next heartbeat is due.
#[derive(Debug)]
struct Heartbeat {
    every: Duration,
    due: Pin<Box<Sleep>>,
}

impl Pieces {
    pub(super) fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { pieces, greeting: None, heartbeat: None }
    }

    /// The same answer, with a hello before it, and with a heartbeat whenever nothing else was sent for this long.
    ///
    /// # Errors
    /// When the hello cannot be encoded.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "only streams over HTTP begin with a hello")
    )]
    pub(in crate::transport) fn greeted(mut self, heartbeat: Duration) -> Result<Self> {
        let mut hello = Vec::new();
        Hello::of(Role::Worker).write(&mut hello)?;
        self.greeting = Some(hello.into());
        self.heartbeat = Some(Heartbeat { every: heartbeat, due: Box::pin(sleep(heartbeat)) });
        Ok(self)
    }

    /// All pieces together, once the last has come.
    #[cfg(feature = "lambda")]
    pub(in crate::transport) async fn collect(mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        while let Some(piece) = self.pieces.recv().await {
            frames.extend_from_slice(&piece);
        }
        frames
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(greeting) = self.greeting.take() {
            return Poll::Ready(Some(Ok(greeting)));
        }
        let polled = self.pieces.poll_recv(context);
        let Some(Heartbeat { every, due }) = &mut self.heartbeat else {
            return polled.map(|piece| piece.map(Ok));
        };
        if polled.is_pending() && due.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        due.as_mut().reset(Instant::now() + *every);
        match polled {
            Poll::Ready(piece) => Poll::Ready(piece.map(Ok)),
            Poll::Pending => {
                Poll::Ready(Some(Ok(Bytes::copy_from_slice(&frame_header(FrameKind::Heartbeat, 0)))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use lithops_core::protocol::read_frame;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_greeted_is_never_silent_for_longer_than_a_heartbeat() {
        let (sender, pieces) = mpsc::channel(PIECES);
        let mut pieces = Pieces::new(pieces).greeted(Duration::from_secs(15)).expect("a hello");
        let mut next = async || {
            let piece = pieces.next().await.expect("a piece").expect("no error");
            read_frame(&mut &piece[..]).expect("a frame").expect("a frame").kind
        };
        let began = Instant::now();
        assert_eq!(next().await, FrameKind::Hello);
        assert_eq!(next().await, FrameKind::Heartbeat);
        assert_eq!(began.elapsed(), Duration::from_secs(15));
        sender.send(Bytes::copy_from_slice(&frame_header(FrameKind::Logs, 0))).await.expect("it is read");
        assert_eq!(next().await, FrameKind::Logs);
        assert_eq!(next().await, FrameKind::Heartbeat);
        drop(sender);
        assert!(pieces.next().await.is_none());
    }
}
