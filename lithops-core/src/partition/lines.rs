//! [`Lines`]: the lines of a part as a stream, found in the pieces that it is read in.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, StreamExt, stream::BoxStream};

use crate::{bytes::text_of_line, error::Result};

/// The lines of a part, as [`DataObject::lines`](super::DataObject::lines) reads them.
pub struct Lines {
    pieces: BoxStream<'static, Result<bytes::Bytes>>,
    /// The piece that is looked at, and how much of it was given out.
    piece: bytes::Bytes,
    at: usize,
    /// What earlier pieces have of the next line.
    begun: Vec<u8>,
    /// Whether there are no more pieces.
    ended: bool,
}

impl Lines {
    pub(super) fn new(pieces: BoxStream<'static, Result<bytes::Bytes>>) -> Self {
        Self { pieces, piece: bytes::Bytes::new(), at: 0, begun: Vec::new(), ended: false }
    }

    /// The next line; `None` after the last.
    ///
    /// # Errors
    /// As [`DataObject::bytes`](super::DataObject::bytes).
    pub async fn next(&mut self) -> Option<Result<String>> {
        StreamExt::next(self).await
    }

    /// The next line of the present piece; what is left of the piece without a line's end is kept.
    fn next_here(&mut self) -> Option<String> {
        let rest = &self.piece[self.at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.begun.extend_from_slice(rest);
            self.at = self.piece.len();
            return None;
        };
        self.at += end + 1;
        if self.begun.is_empty() {
            return Some(text(&rest[..end]));
        }
        let mut line = mem::take(&mut self.begun);
        line.extend_from_slice(&rest[..end]);
        Some(text(&line))
    }
}

impl Stream for Lines {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.next_here() {
                return Poll::Ready(Some(Ok(line)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.pieces.poll_next_unpin(context)) {
                Some(Ok(piece)) => (self.piece, self.at) = (piece, 0),
                Some(Err(error)) => {
                    self.ended = true;
                    self.begun.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.ended = true;
                    let last = mem::take(&mut self.begun);
                    return Poll::Ready((!last.is_empty()).then(|| Ok(text(&last))));
                }
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    text_of_line(line).into_owned()
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt, stream};

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[tokio::test]
    async fn lines_are_those_of_the_whole_however_it_is_cut() {
        for whole in ["", "\n", "a", "a\n", "a\n\nb", "a\r\nb\r\n", "a\n\n", "first\nsecond\r\nlast\r"] {
            for len in 1..=whole.len().max(1) {
                let pieces: Vec<_> = whole
                    .as_bytes()
                    .chunks(len)
                    .map(|piece| Ok(bytes::Bytes::copy_from_slice(piece)))
                    .collect();
                let lines: Vec<_> =
                    Lines::new(stream::iter(pieces).boxed()).try_collect().await.expect("lines");
                let expected: Vec<_> = crate::bytes::Bytes::from(whole.to_owned())
                    .lines()
                    .map(std::borrow::Cow::into_owned)
                    .collect();
                assert_eq!(lines, expected, "{whole:?} in pieces of {len}");
            }
        }
    }

    #[tokio::test]
    async fn after_an_error_there_is_nothing() {
        let pieces = [Ok("a\nb".into()), Err(Error::new(ErrorKind::Io, "cut")), Ok("c\n".into())];
        let mut lines = Lines::new(stream::iter(pieces).boxed());
        assert_eq!(lines.next().await.expect("a line").expect("text"), "a");
        lines.next().await.expect("an error").expect_err("it is cut");
        assert!(lines.next().await.is_none());
    }
}
