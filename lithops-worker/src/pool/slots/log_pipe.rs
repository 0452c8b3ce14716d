//! [`LogPipe`]: the output of a sub-worker, cut at the marks that it writes at the end of calls.
//!
//! A mark is secret random bytes, followed by the batch and the index of the call that has ended. The sub-worker writes
//! the mark before it reports the call. So when a report has come, all output of its calls is in the pipe, before their
//! marks. A call that printed nothing has no mark.
//!
//! While calls run, the worker takes all but the last byte out of the pipe. So a sub-worker can tell by the length of the
//! pipe, with one system call, whether anything was printed since the last mark. In jobs whose output is wanted while it
//! is printed the worker takes the last byte too, and the sub-worker marks the end of every call.

use std::os::fd::OwnedFd;

use lithops_core::bytes::Bytes;
use memchr::memmem;
use rustix::{
    io::{self, Errno},
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
};

/// The length of a mark: the secret, the batch, the index.
pub(crate) const MARK_LEN: usize = 24;

/// The size of the pipe: room for the output of a call between two looks at it. The kernel may give less.
const PIPE_SIZE: usize = 1 << 20;

/// How many bytes are read at once.
const PART: usize = 256 << 10;

/// How many bytes of the end of a long log are kept beside its beginning: enough for the last error.
const TAIL: usize = 8 << 10;

/// The limit of output that belongs to no job: before the first call, or of a job that is forgotten.
pub(in crate::pool) const LIMIT_WITHOUT_JOB: u64 = 1 << 20;

/// The reading end of a sub-worker's output.
#[derive(Debug)]
pub(in crate::pool) struct LogPipe {
    pipe: OwnedFd,
    mark: [u8; 16],
    /// Bytes that were read and not searched to their end: the start of a mark may be among them.
    unsearched: Vec<u8>,
    current: LogText,
    ended: Vec<(u32, u32, LogText)>,
}

/// Output of one call, with a limit: its head, how many bytes were dropped, and its tail.
#[derive(Debug, Default, Clone)]
pub(in crate::pool) struct LogText {
    head: Vec<u8>,
    dropped: u64,
    tail: Vec<u8>,
}

impl LogPipe {
    /// A pipe whose calls end with `mark`, and its writing end.
    pub(in crate::pool) fn create(mark: [u8; 16]) -> io::Result<(Self, OwnedFd)> {
        let (pipe, writing) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only the reading end must not block. The flag belongs to the end, not to the pipe, so the writing end is not
        // affected.
        rustix::fs::fcntl_setfl(&pipe, rustix::fs::OFlags::NONBLOCK)?;
        // A smaller pipe is slower, not wrong: the limit of the user for pipes may have been reached.
        let _ = fcntl_setpipe_size(&writing, PIPE_SIZE);
        let log = Self { pipe, mark, unsearched: Vec::new(), current: LogText::default(), ended: Vec::new() };
        Ok((log, writing))
    }

    /// Takes out all bytes up to the last mark, because a report has come. The output of the next call is taken too, but
    /// for its last byte: the pipe must not be empty while it has output without a mark.
    pub(in crate::pool) fn drain(&mut self, limit: u64) {
        // The marks of the reported calls are in the pipe already; bytes that come meanwhile are for another time.
        let mut left = self.waiting();
        while left > 1 {
            let part = (left - 1).min(PART);
            if !self.read(part, limit) {
                return;
            }
            left -= part;
        }
        // The last byte is that of a mark: with it, all output in the pipe has a mark.
        if left == 1 && self.unsearched.len() == MARK_LEN - 1 && self.unsearched.starts_with(&self.mark) {
            self.read(1, limit);
        }
    }

    /// Takes out all but the last byte while calls run, or all if each of these calls marks its end. Returns whether the
    /// pipe is filling up: a quarter of it is full.
    pub(in crate::pool) fn relieve(&mut self, limit: u64, takes_all: bool) -> bool {
        let waiting = self.waiting();
        let mut left = waiting.saturating_sub(usize::from(!takes_all));
        while left > 0 {
            let part = left.min(PART);
            self.read(part, limit);
            left -= part;
        }
        waiting > PIPE_SIZE / 4
    }

    /// The output of the calls whose marks have been seen: batch, index, text.
    pub(in crate::pool) fn take_ended(&mut self) -> Vec<(u32, u32, LogText)> {
        std::mem::take(&mut self.ended)
    }

    /// How many bytes [`so_far`](Self::so_far) has, with those that were dropped.
    pub(in crate::pool) fn so_far_len(&self) -> u64 {
        let LogText { head, dropped, tail } = &self.current;
        (head.len() + tail.len() + self.text_end()) as u64 + dropped
    }

    /// Where the text in the unsearched bytes ends: at a mark, or at what may be the beginning of one.
    fn text_end(&self) -> usize {
        let begins_mark = |from: &usize| self.mark.starts_with(&self.unsearched[*from..]);
        let end = (0..self.unsearched.len()).find(begins_mark).unwrap_or(self.unsearched.len());
        memmem::find(&self.unsearched, &self.mark).unwrap_or(end)
    }

    /// What the running call has printed, as far as it was taken out of the pipe. The beginning of a mark is no output.
    pub(in crate::pool) fn so_far(&self, limit: u64) -> LogText {
        let mut text = self.current.clone();
        text.push(&self.unsearched[..self.text_end()], limit);
        text
    }

    /// The output of a dead sub-worker since its last mark.
    pub(in crate::pool) fn take_rest(&mut self, limit: u64) -> LogText {
        // Only the bytes that are there now: a process that it has left behind may go on writing for ever.
        let mut left = self.waiting();
        while left > 0 && self.read(left.min(PART), limit) {
            left -= left.min(PART);
        }
        let rest = std::mem::take(&mut self.unsearched);
        self.current.push(&rest, limit);
        std::mem::take(&mut self.current)
    }

    fn waiting(&self) -> usize {
        usize::try_from(rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0)).unwrap_or(0)
    }

    fn read(&mut self, count: usize, limit: u64) -> bool {
        let from = self.unsearched.len();
        self.unsearched.resize(from + count, 0);
        let read = loop {
            match rustix::io::read(&self.pipe, &mut self.unsearched[from..]) {
                Err(Errno::INTR) => {}
                read => break read.unwrap_or(0),
            }
        };
        self.unsearched.truncate(from + read);
        if read > 0 {
            self.search(limit);
        }
        read > 0
    }

    fn search(&mut self, limit: u64) {
        let mut from = 0;
        while let Some(at) = memmem::find(&self.unsearched[from..], &self.mark).map(|at| from + at) {
            let Some(place) = self.unsearched[at..].first_chunk::<MARK_LEN>() else { break };
            let number =
                |at: usize| u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]]);
            let (batch, index) = (number(16), number(20));
            self.current.push(&self.unsearched[from..at], limit);
            self.ended.push((batch, index, std::mem::take(&mut self.current)));
            from = at + MARK_LEN;
        }
        // Bytes that cannot be the start of a mark any more are text.
        let text = self.unsearched.len().saturating_sub(MARK_LEN - 1).max(from);
        let cut = memmem::find(&self.unsearched[from..], &self.mark).map_or(text, |at| from + at);
        self.current.push(&self.unsearched[from..cut], limit);
        self.unsearched.drain(..cut);
    }
}

impl LogText {
    fn push(&mut self, bytes: &[u8], limit: u64) {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(self.head.len() + TAIL);
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        // Once bytes have gone to the tail the head takes no more: the order would be wrong otherwise.
        let (head, rest) = if self.tail.is_empty() { (head, rest) } else { (&bytes[..0], bytes) };
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(rest);
        // At twice its size, so that each byte is moved once at most.
        if self.tail.len() > 2 * TAIL {
            let excess = self.tail.len() - TAIL;
            self.tail.drain(..excess);
            self.dropped += excess as u64;
        }
    }

    pub(in crate::pool) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// Head, number of bytes that were dropped, tail.
    pub(in crate::pool) fn into_parts(mut self) -> (Bytes, u64, Bytes) {
        if self.dropped == 0 {
            self.head.append(&mut self.tail);
        }
        (self.head.into(), self.dropped, self.tail.into())
    }

    /// The last lines, for an error message.
    pub(in crate::pool) fn last_words(&self) -> String {
        let last = if self.tail.is_empty() { &self.head } else { &self.tail };
        String::from_utf8_lossy(&last[last.len().saturating_sub(1000)..]).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: [u8; 16] = *b"\x01secret of a log";

    fn mark(batch: u32, index: u32) -> Vec<u8> {
        [&MARK[..], &batch.to_le_bytes(), &index.to_le_bytes()].concat()
    }

    proptest! {
        /// However the bytes are cut on their way, each call gets exactly what it printed.
        #[test]
        fn each_call_gets_what_it_printed(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..8),
            cuts in prop::collection::vec(1usize..70, 1..20), rest in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let (mut log, writing) = LogPipe::create(MARK).expect("a pipe");
            let mut stream = Vec::new();
            for (index, text) in texts.iter().enumerate() {
                stream.extend_from_slice(text);
                stream.extend(mark(3, u32::try_from(index).expect("small")));
            }
            stream.extend_from_slice(&rest);
            let mut left = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if left.is_empty() { break }
                let (now, later) = left.split_at((*cut).min(left.len()));
                rustix::io::write(&writing, now).expect("room");
                if cut % 2 == 0 { log.drain(1 << 20) } else { log.relieve(1 << 20, cut % 3 == 0); }
                left = later;
            }
            log.drain(1 << 20);
            let ended = log.take_ended();
            prop_assert_eq!(ended.len(), texts.len());
            for ((batch, index, text), expected) in ended.into_iter().zip(&texts) {
                prop_assert_eq!(batch, 3);
                prop_assert_eq!(&texts[index as usize], expected);
                let (head, ..) = text.into_parts();
                prop_assert_eq!(head.as_ref(), expected.as_slice());
            }
            let (head, ..) = log.take_rest(1 << 20).into_parts();
            prop_assert_eq!(head.as_ref(), rest.as_slice());
        }
    }

    #[test]
    fn what_the_next_call_prints_meanwhile_is_never_taken_whole() {
        let (mut log, writing) = LogPipe::create(MARK).expect("a pipe");
        for texts in [["one", "two"], ["", "2"], ["1", ""]] {
            rustix::io::write(&writing, texts[0].as_bytes()).expect("room");
            rustix::io::write(&writing, &mark(1, 0)).expect("room");
            rustix::io::write(&writing, texts[1].as_bytes()).expect("room");
            // The report of the first call has come, the second call runs.
            log.drain(1 << 20);
            assert_eq!(log.take_ended().len(), 1, "the first call's log is complete: {texts:?}");
            assert_eq!(
                log.waiting() > 0,
                !texts[1].is_empty(),
                "the second call sees whether it has to mark: {texts:?}"
            );
            if log.waiting() > 0 {
                rustix::io::write(&writing, &mark(2, 0)).expect("room");
                log.drain(1 << 20);
                let (_, _, text) = log.take_ended().pop().expect("the second call");
                let (head, ..) = text.into_parts();
                assert_eq!(head.as_ref(), texts[1].as_bytes());
            }
            assert_eq!(log.waiting(), 0);
        }
    }

    #[test]
    fn what_was_printed_so_far_is_without_the_beginning_of_a_mark() {
        let (mut log, writing) = LogPipe::create(MARK).expect("a pipe");
        for (bytes, so_far) in
            [(&b"a line\n"[..], "a line\n"), (b"more", "a line\nmore"), (&MARK[..5], "a line\nmore")]
        {
            rustix::io::write(&writing, bytes).expect("room");
            log.relieve(1 << 20, true);
            assert_eq!(log.waiting(), 0);
            let (head, ..) = log.so_far(1 << 20).into_parts();
            assert_eq!(head.as_ref(), so_far.as_bytes());
            assert_eq!(log.so_far_len(), so_far.len() as u64);
        }
        rustix::io::write(&writing, &mark(1, 0)[5..]).expect("room");
        log.relieve(1 << 20, true);
        assert_eq!((log.take_ended().len(), log.so_far_len()), (1, 0));
    }

    #[test]
    fn a_long_log_keeps_its_head_and_its_tail_and_counts_the_rest() {
        let mut text = LogText::default();
        for number in 0..20_000 {
            text.push(format!("{number:07}\n").as_bytes(), 64 << 10);
        }
        let (head, dropped, tail) = text.into_parts();
        assert!(head.starts_with(b"0000000\n0000001\n") && tail.ends_with(b"0019999\n"));
        assert_eq!(head.len() as u64 + dropped + tail.len() as u64, 160_000);
        assert!(head.len() + tail.len() < 80 << 10);
    }
}
