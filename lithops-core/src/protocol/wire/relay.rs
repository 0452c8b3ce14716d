//! [`relay`]: carries the bytes of a channel over a connection that tells neither of the end of its other side nor of
//! its own.
//!
//! Bytes travel in pieces, each behind its length: `u32 LE`. A piece of length 0 says that the sender lives, and the
//! length [`DONE`] that nothing more comes. So an end that was meant differs from a connection that was cut, and one
//! that was cut without a word is noticed by its silence.

use std::{io, os::unix::net::UnixStream, pin::pin, time::Duration};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    time::timeout,
};

/// How often a side says that it lives, when it has nothing else to say.
const BEAT: Duration = Duration::from_secs(3);
/// After this time without a word the other side is taken to be gone.
const SILENCE: Duration = Duration::from_secs(15);
/// How long the other side may take to end, once this one has.
const FAREWELL: Duration = Duration::from_secs(5);

/// The length that says that nothing more comes.
const DONE: u32 = u32::MAX;
/// The bytes of a length.
const HEAD: usize = 4;
/// The most bytes of a piece.
const PIECE: usize = 256 << 10;

/// How a relay has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayEnd {
    /// One of the two sides has closed its channel: that was meant.
    Closed,
    /// The connection was cut, in these words.
    Cut(String),
}

/// Carries bytes between `local`, a channel of this process, and `remote`, the connection to the other side, which relays
/// in the same way. Returns when one of the two is closed or gone; `local` is closed then.
///
/// # Errors
/// When `local` cannot be used.
pub async fn relay<S>(remote: S, local: UnixStream) -> io::Result<RelayEnd>
where
    S: AsyncRead + AsyncWrite,
{
    local.set_nonblocking(true)?;
    let (from_local, to_local) = tokio::net::UnixStream::from_std(local)?.into_split();
    let (from_remote, to_remote) = tokio::io::split(remote);
    let (mut up, mut down) = (pin!(up(from_local, to_remote)), pin!(down(from_remote, to_local)));
    Ok(tokio::select! {
        sent = &mut up => match sent {
            Ok(()) => {
                // It is heard out, so that all that was sent has come.
                let _ = timeout(FAREWELL, down).await;
                RelayEnd::Closed
            }
            Err(error) => RelayEnd::Cut(error.to_string()),
        },
        received = &mut down => match received {
            // What would still be sent is of no use to the other side.
            Ok(()) => RelayEnd::Closed,
            Err(error) => RelayEnd::Cut(error.to_string()),
        },
    })
}

/// Sends what comes through the channel, until that is closed.
async fn up(from: OwnedReadHalf, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut piece = BytesMut::with_capacity(HEAD + PIECE);
    loop {
        piece.clear();
        piece.extend_from_slice(&[0; HEAD]);
        let read = timeout(BEAT, read(&from, &mut piece)).await;
        match read {
            // Nothing to say: that this side lives.
            Err(_) => {}
            Ok(Ok(1..)) => {
                let len = u32::try_from(piece.len() - HEAD).unwrap_or(DONE);
                piece[..HEAD].copy_from_slice(&len.to_le_bytes());
            }
            // A channel that is broken is closed.
            Ok(Ok(0) | Err(_)) => {
                to.write_all(&DONE.to_le_bytes()).await?;
                return to.flush().await;
            }
        }
        to.write_all(&piece).await?;
        to.flush().await?;
    }
}

/// Reads what there is, at most a piece.
async fn read(from: &OwnedReadHalf, piece: &mut BytesMut) -> io::Result<usize> {
    loop {
        from.readable().await?;
        // Not `read_buf`: a greeting carries a descriptor, at which a read ends early although more bytes wait, and a short
        // read would be taken for the last one.
        match from.try_read_buf(&mut (&mut *piece).limit(PIECE)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Passes on what comes over the connection, until the other side says that nothing more comes.
async fn down(from: impl AsyncRead + Unpin, mut to: OwnedWriteHalf) -> io::Result<()> {
    let mut from = BufReader::with_capacity(HEAD + PIECE, from);
    loop {
        let mut head = [0; HEAD];
        heard(from.read_exact(&mut head)).await?;
        let mut left = match u32::from_le_bytes(head) {
            0 => continue,
            DONE => return to.shutdown().await,
            len => len as usize,
        };
        while left > 0 {
            let bytes = heard(from.fill_buf()).await?;
            let part = &bytes[..left.min(bytes.len())];
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if to.write_all(part).await.is_err() {
                // This side is closed: the other direction tells the other side.
                return std::future::pending().await;
            }
            let count = part.len();
            from.consume(count);
            left -= count;
        }
    }
}

/// What the other side sends, unless it is silent for too long.
async fn heard<T>(next: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let next = timeout(SILENCE, next).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("the other side has said nothing for {SILENCE:?}"))
    })?;
    next.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            error.kind(),
            "the connection was closed before the other side had said that it is done",
        ),
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Two channels that are relayed to each other, and the relays.
    fn joined() -> (UnixStream, UnixStream, [tokio::task::JoinHandle<io::Result<RelayEnd>>; 2]) {
        let (here, there) = tokio::io::duplex(64 << 10);
        let (client, near) = UnixStream::pair().expect("a pair");
        let (worker, far) = UnixStream::pair().expect("a pair");
        (client, worker, [tokio::spawn(relay(here, near)), tokio::spawn(relay(there, far))])
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sent_comes_and_the_end_comes_as_an_end() {
        let (mut client, mut worker, relays) = joined();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let expected = sent.clone();
        let writes = std::thread::spawn(move || {
            client.write_all(&sent).expect("sent");
            let mut back = [0; 8];
            client.read_exact(&mut back).expect("read");
            back
        });
        let came = tokio::task::spawn_blocking(move || {
            let mut came = vec![0; 3_000_000];
            worker.read_exact(&mut came).expect("read");
            worker.write_all(b"and back").expect("sent");
            assert_eq!(worker.read(&mut [0]).expect("read"), 0, "the client has closed its side");
            came
        });
        assert_eq!(&writes.join().expect("read"), b"and back");
        assert!(came.await.expect("read") == expected, "every byte in its order");
        for relay in relays {
            assert_eq!(relay.await.expect("no panic").expect("no error"), RelayEnd::Closed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_falls_silent_and_a_connection_that_is_cut_are_noticed() {
        let (here, silent) = tokio::io::duplex(1 << 20);
        let (_client, near) = UnixStream::pair().expect("a pair");
        let began = tokio::time::Instant::now();
        let RelayEnd::Cut(words) = relay(here, near).await.expect("no error") else { panic!("it is cut") };
        assert!(words.contains("has said nothing for 15s"), "{words}");
        assert_eq!(began.elapsed(), SILENCE);
        drop(silent);

        let (here, gone) = tokio::io::duplex(1 << 20);
        let (_client, near) = UnixStream::pair().expect("a pair");
        drop(gone);
        let RelayEnd::Cut(words) = relay(here, near).await.expect("no error") else { panic!("it is cut") };
        assert!(words.contains("before the other side had said that it is done"), "{words}");
    }

    #[tokio::test]
    async fn bytes_behind_a_descriptor_do_not_wait_for_others() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        use std::{io::IoSlice, mem::MaybeUninit, os::fd::AsFd};

        let (here, mut there) = tokio::io::duplex(1 << 20);
        let (mut client, near) = UnixStream::pair().expect("a pair");
        let null = crate::process::open_null().expect("opened");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [null.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&client, &[IoSlice::new(b"hello")], &mut control, SendFlags::empty()).expect("sent");
        client.write_all(b" world").expect("sent");
        tokio::spawn(relay(here, near));
        let mut came = Vec::new();
        while came.len() < 11 {
            let len = there.read_u32_le().await.expect("a length") as usize;
            let before = came.len();
            came.resize(before + len, 0);
            there.read_exact(&mut came[before..]).await.expect("a piece");
            assert!(len > 0, "it has said that it lives before it has sent all: {came:?}");
        }
        assert_eq!(came, b"hello world");
    }

    #[tokio::test(start_paused = true)]
    async fn two_sides_with_nothing_to_say_stay() {
        let (client, worker, relays) = joined();
        tokio::time::sleep(10 * SILENCE).await;
        assert!(relays.iter().all(|relay| !relay.is_finished()));
        drop((client, worker));
        for relay in relays {
            assert_eq!(relay.await.expect("no panic").expect("no error"), RelayEnd::Closed);
        }
    }
}
