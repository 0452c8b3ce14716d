//! [`Members`]: the members of a gzip file, one after the other.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_compression::tokio::bufread::GzipDecoder;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// The content of all members: gzip files that were appended to one another are one file. Zeros after the
/// last member are padding, as in files that were written in blocks; other bytes after the zeros are an
/// error.
pub(super) struct Members<R> {
    state: State<R>,
}

enum State<R> {
    Member(Pin<Box<GzipDecoder<R>>>),
    /// After a member; the flag says whether zeros have come.
    Between(Pin<Box<R>>, bool),
    End,
}

impl<R: AsyncBufRead> Members<Pin<Box<R>>> {
    pub(super) fn new(packed: R) -> Self {
        Self { state: State::Member(Box::pin(GzipDecoder::new(Box::pin(packed)))) }
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Members<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.state = match std::mem::replace(&mut self.state, State::End) {
                State::Member(mut decoder) => {
                    let before = out.filled().len();
                    let read = decoder.as_mut().poll_read(context, out);
                    if !matches!(read, Poll::Ready(Ok(()))) || out.filled().len() > before {
                        self.state = State::Member(decoder);
                        return read;
                    }
                    State::Between(Box::pin(Pin::into_inner(decoder).into_inner()), false)
                }
                State::Between(mut rest, padded) => match look(&mut rest, context) {
                    Poll::Pending => {
                        self.state = State::Between(rest, padded);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(Behind::Nothing)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(Behind::Zeros)) => State::Between(rest, true),
                    Poll::Ready(Ok(Behind::Something)) if padded => {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "there is something behind the zeros at its end",
                        )));
                    }
                    Poll::Ready(Ok(Behind::Something)) => {
                        State::Member(Box::pin(GzipDecoder::new(*Pin::into_inner(rest))))
                    }
                },
                State::End => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// What follows a member.
enum Behind {
    Nothing,
    /// Zeros, which were taken off.
    Zeros,
    Something,
}

fn look<R: AsyncBufRead + Unpin>(
    rest: &mut Pin<Box<R>>,
    context: &mut Context<'_>,
) -> Poll<io::Result<Behind>> {
    let bytes = ready!(rest.as_mut().poll_fill_buf(context))?;
    let (is_empty, zeros) = (bytes.is_empty(), bytes.iter().take_while(|byte| **byte == 0).count());
    rest.as_mut().consume(zeros);
    Poll::Ready(Ok(match zeros {
        _ if is_empty => Behind::Nothing,
        0 => Behind::Something,
        _ => Behind::Zeros,
    }))
}
