//! [`Hello`]: the role of a process, and the versions of the protocol that it understands.

use serde::{Deserialize, Serialize};

use super::{Frame, FrameKind, frame_header, malformed};
use crate::error::{Error, ErrorKind, Result};

/// The oldest and the newest version of the protocol that this build speaks.
pub const PROTOCOL: (u16, u16) = (5, 5);

/// The first bytes of a hello, in every version: they tell a process of lithops from any other peer.
const MAGIC: &[u8; 8] = b"LITHOPS\n";

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The program that calls `map`.
    Client,
    /// A worker: it runs a pool of sub-workers.
    Worker,
    /// A sub-worker: it runs one call at a time.
    SubWorker,
}

/// The first frame of both sides.
///
/// Magic and version range stand first in a layout that never changes, so that any two versions can tell each
/// other why they do not understand each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and the newest version of the protocol that the sender speaks.
    pub protocol: (u16, u16),
    /// The version of lithops that the sender was built with.
    pub version: String,
    /// What else the sender says of itself.
    pub about: About,
}

/// What a hello says beyond versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The role of the sender.
    pub role: Role,
    /// The process id of the sender.
    pub pid: u32,
    /// From a worker to its sub-worker: the secret bytes that mark the end of a call in the log.
    pub log_mark: [u8; 16],
}

impl Hello {
    /// The hello of this process in `role`.
    #[must_use]
    pub fn of(role: Role) -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            about: About { role, pid: std::process::id(), log_mark: [0; 16] },
        }
    }

    /// The hello of a worker to a sub-worker, with the bytes that mark the end of a call in the log.
    #[must_use]
    pub fn with_log_mark(mut self, mark: [u8; 16]) -> Self {
        self.about.log_mark = mark;
        self
    }

    /// Appends the frame to `out`.
    ///
    /// # Errors
    /// When the hello cannot be encoded.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut body = MAGIC.to_vec();
        body.extend_from_slice(&self.protocol.0.to_le_bytes());
        body.extend_from_slice(&self.protocol.1.to_le_bytes());
        let version = self.version.as_bytes();
        body.push(u8::try_from(version.len()).map_err(|_| malformed("the version's name is too long"))?);
        body.extend_from_slice(version);
        let about = postcard::to_stdvec(&self.about)
            .map_err(|error| malformed(format!("cannot encode hello: {error}")))?;
        body.extend_from_slice(&about);
        out.extend_from_slice(&frame_header(FrameKind::Hello, body.len()));
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Decodes a hello and checks that both sides speak a common version.
    ///
    /// # Errors
    /// `VersionMismatch` naming both versions when there is no common one; another error when the frame is no
    /// hello.
    pub fn read(frame: &Frame) -> Result<Self> {
        let body = (frame.kind == FrameKind::Hello)
            .then_some(&frame.body[..])
            .and_then(|body| body.strip_prefix(MAGIC));
        let body = body.ok_or_else(|| malformed("the first frame is not a hello"))?;
        let [first, first_high, last, last_high, len, rest @ ..] = body else {
            return Err(malformed("a hello is cut short"));
        };
        let protocol = (u16::from_le_bytes([*first, *first_high]), u16::from_le_bytes([*last, *last_high]));
        let (version, about) =
            rest.split_at_checked(usize::from(*len)).ok_or_else(|| malformed("a hello is cut short"))?;
        let version = String::from_utf8_lossy(version).into_owned();
        if protocol.0 > PROTOCOL.1 || protocol.1 < PROTOCOL.0 {
            return Err(Error::new(
                ErrorKind::VersionMismatch,
                format!(
                    "this side is lithops {} (protocol {}..={}), the other is lithops {version} (protocol {}..={})",
                    env!("CARGO_PKG_VERSION"),
                    PROTOCOL.0,
                    PROTOCOL.1,
                    protocol.0,
                    protocol.1
                ),
            )
            .with_hint("build the program and its workers with the same version of lithops"));
        }
        let about = postcard::from_bytes(about).map_err(|error| malformed(format!("hello: {error}")))?;
        Ok(Self { protocol, version, about })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(hello: &Hello) -> Frame {
        let mut out = Vec::new();
        hello.write(&mut out).expect("writes");
        super::super::read_frame(&mut out.as_slice()).expect("reads").expect("a frame")
    }

    #[test]
    fn a_hello_round_trips() {
        let hello = Hello::of(Role::Worker).with_log_mark([7; 16]);
        assert_eq!(Hello::read(&frame(&hello)).expect("reads"), hello);
    }

    #[test]
    fn another_version_is_told_with_both_versions() {
        let hello = Hello { protocol: (98, 99), version: "9.9.9".into(), ..Hello::of(Role::Worker) };
        let error = Hello::read(&frame(&hello)).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::VersionMismatch);
        assert!(error.to_string().contains("lithops 9.9.9 (protocol 98..=99)"), "{error}");
    }

    #[test]
    fn something_else_is_not_a_hello() {
        let body = bytes::Bytes::from_static(b"\nrunning 1 test\n");
        let frame = Frame { kind: FrameKind::Hello, body, end: None };
        assert!(Hello::read(&frame).expect_err("refused").to_string().contains("not a hello"));
    }
}
